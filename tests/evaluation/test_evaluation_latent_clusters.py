"""Groups against types: the index by hand and by twin, planted groups found, and nothing made of nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from novelty_examples import SIZE, blobs, make_plain, shuffled
from sklearn.metrics import adjusted_rand_score

from waferlens.errors import MetricError
from waferlens.evaluation.agreement import UNGROUPED, adjusted_rand, agreement_p_value
from waferlens.evaluation.latent_clusters import find_clusters, pooled_heatmaps, standardised
from waferlens.evaluation.latent_map import map_latents
from waferlens.evaluation.novel_defects import find_novel_defects
from waferlens.evaluation.plots_latents import MARKERS, TYPE_COLOURS, latent_map_figure
from waferlens.evaluation.resampling import MetricOptions

QUICK = MetricOptions(num_draws=400, num_pixel_draws=200)


def by_latents(types, latents):
    return find_clusters(make_plain(types, latents=latents), QUICK)[0]


@pytest.mark.parametrize(
    ("groups", "types", "expected"),
    [
        ([0, 0, 1, 1], [1, 1, 0, 0], 1.0),  # names of groups do not matter
        ([0, 1, 0, 1], [0, 0, 1, 1], -0.5),  # 0 shared pairs, 2/3 expected, 2 possible
        ([0, 0, 0, 0], [0, 0, 1, 1], 0.0),
        ([UNGROUPED] * 4, [0, 0, 1, 1], 0.0),
        ([0, 0, UNGROUPED, UNGROUPED], [0, 0, 1, 1], 4 / 7),  # 1 shared, 1/3 expected, 1.5 possible
    ],
)
def test_the_index_of_four_images_is_known_by_hand(groups, types, expected):
    assert adjusted_rand(np.array(groups), np.array(types), QUICK).value == pytest.approx(expected)


def test_the_index_is_that_of_scikit_learn_with_ungrouped_images_as_groups_of_their_own():
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = int(rng.integers(2, 30))
        groups, types = rng.integers(-1, rng.integers(1, 6), n), rng.integers(0, rng.integers(1, 5), n)
        alone = np.where(groups == UNGROUPED, 100 + np.arange(n), groups)
        assert adjusted_rand(groups, types, QUICK).value == pytest.approx(adjusted_rand_score(types, alone))


def test_the_interval_holds_the_value_and_is_left_out_where_nothing_varies():
    types = np.repeat([0, 1, 2, 3], 10)
    mixed = np.where(np.arange(40) % 10 < 7, types, (types + 1) % 4)
    estimate = adjusted_rand(mixed, types, QUICK)
    assert -1 < estimate.low < estimate.value < estimate.high < 1
    perfect = adjusted_rand(types, types, QUICK)
    assert perfect.value == 1
    assert np.isnan([perfect.low, perfect.high]).all()


def test_an_image_drawn_twice_is_no_evidence():
    """Were it a pair with itself, draws of groups without any agreement would lie above 0."""
    types = np.repeat([0, 1, 2, 3], 10)
    groups = np.tile([0, 1], 20)
    estimate = adjusted_rand(groups, types, QUICK)
    assert estimate.low < 0 < estimate.high
    assert abs(estimate.low + estimate.high) < 0.15


def test_the_p_value_of_four_images_is_one_third_and_never_zero():
    pairs = np.array([0, 0, 1, 1])  # 2 of the 6 ways to deal two types out agree completely
    assert agreement_p_value(pairs, pairs, MetricOptions(num_draws=2000)) == pytest.approx(1 / 3, abs=0.05)
    many = np.repeat([0, 1, 2], 20)
    assert agreement_p_value(many, many, QUICK) == 1 / 401
    assert agreement_p_value(np.full(4, UNGROUPED), pairs, QUICK) == 1


def test_labels_that_do_not_pair_up_are_refused():
    with pytest.raises(MetricError, match="do not pair up"):
        adjusted_rand(np.zeros(3, dtype=int), np.zeros(4, dtype=int))


def test_planted_groups_are_found_without_labels_by_both_methods():
    found = by_latents(*blobs())
    assert (found.num_images, found.num_types) == (24, 3)
    assert found.type_silhouette > 0.5
    for grouping in found.groupings:
        assert grouping.num_groups == 3
        assert grouping.agreement.value == 1
        assert grouping.p_value == 1 / 401
        assert grouping.silhouette > 0.5


def test_types_without_any_structure_agree_no_better_than_chance():
    types, latents = blobs(distance=0.0)
    scored = make_plain(types, latents=latents)
    found = find_novel_defects(scored, options=QUICK)
    k_means = found.clusters[0].groupings[0]
    assert abs(k_means.agreement.value) < 0.2
    assert found.in_words(k_means) == "no better than chance"


def test_types_that_differ_only_in_the_place_of_the_heatmap_are_told_apart_by_it():
    rng = np.random.default_rng(0)
    types = [None] * 10 + ["left"] * 8 + ["right"] * 8
    heatmaps = rng.normal(0, 1, (26, SIZE, SIZE)).astype(np.float32)
    heatmaps[10:18, 100:140, 20:60] += 40
    heatmaps[18:, 100:140, 200:240] += 40
    latents, heatmap = find_clusters(make_plain(types, heatmaps=heatmaps), QUICK)
    assert heatmap.groupings[0].agreement.value == 1
    assert latents.why_not == "This method does not give them."


def test_a_heatmap_is_averaged_over_its_cells():
    heatmap = np.zeros((1, SIZE, SIZE), dtype=np.float32)
    heatmap[0, 32:64, 64:80] = 2.0  # half of the cell in row 1, column 2
    pooled = pooled_heatmaps(heatmap)
    assert pooled.shape == (1, 64)
    assert np.flatnonzero(pooled[0]).tolist() == [8 + 2]
    assert pooled[0, 10] == pytest.approx(np.arcsinh(1.0))


def test_descriptions_are_measured_in_deviations_of_the_normals_and_unused_columns_stay_small():
    values = np.array([[-2.0, 1e-9], [2.0, -1e-9], [6.0, 1e-6]])
    scaled = standardised(values, np.array([False, False, True]))
    np.testing.assert_allclose(scaled[:, 0], [-1, 1, 3])
    assert np.abs(scaled[:, 1]).max() < 1e-4


def test_without_normals_the_defects_set_the_scale():
    types, latents = blobs(num_normal=0)
    assert by_latents(types, latents).groupings[0].agreement.value > 0.5


def test_the_order_of_the_images_changes_no_group_and_no_point():
    types, latents = blobs(distance=2.0)
    rng = np.random.default_rng(1)
    heatmaps = rng.normal(0, 1, (len(types), SIZE, SIZE)).astype(np.float32)
    scored = make_plain(types, latents=latents, heatmaps=heatmaps)
    other = shuffled(scored)
    assert json.dumps([found.as_dict() for found in find_clusters(scored, QUICK)]) == json.dumps(
        [found.as_dict() for found in find_clusters(other, QUICK)]
    )
    first, second = map_latents(scored), map_latents(other)
    np.testing.assert_array_equal(first.components, second.components)
    np.testing.assert_array_equal(first.neighbours, second.neighbours)
    np.testing.assert_array_equal(first.types, second.types)


@pytest.mark.parametrize(
    ("types", "latents", "reason"),
    [
        ([None] * 6, np.arange(12.0).reshape(6, 2), "no defective image"),
        ([None] * 6 + ["a", "b"], np.arange(16.0).reshape(8, 2), "too few"),
        ([None] * 6 + ["a"] * 6, np.arange(24.0).reshape(12, 2), "one type"),
        ([None] * 6 + ["a", "b"] * 3, np.ones((12, 2)), "alike"),
    ],
)
def test_what_cannot_be_grouped_says_why(types, latents, reason):
    found = by_latents(types, latents)
    assert reason in found.why_not
    assert found.groupings == ()
    assert json.dumps(found.as_dict(), allow_nan=False)


def test_more_types_than_different_images_still_make_groups():
    latents = np.repeat([[0.0, 0.0], [5.0, 0.0]], [6, 6], axis=0)
    found = by_latents(["a", "b", "c", "d"] * 3, latents)
    assert found.groupings[0].num_groups == 2


def test_a_latent_that_is_not_finite_is_refused():
    scored = make_plain(["a", "b"] * 3, latents=np.ones((6, 2)))
    scored.latents[2, 1] = np.nan
    for refuse in (find_clusters, map_latents):
        with pytest.raises(MetricError, match="finite"):
            refuse(scored)


def test_the_first_component_shows_the_direction_in_which_defects_depart():
    types, latents = blobs()
    latents[:, 0] = np.where(np.array([name == "crack" for name in types]), 100.0, latents[:, 0])
    found = map_latents(make_plain(types, latents=latents))
    along = np.abs(found.components[:, 0] - np.median(found.components[:, 0]))
    assert set(found.types[np.argsort(along)[-8:]]) == {"crack"}
    assert 0.5 < found.explained[0] <= 1
    assert found.neighbours.shape == found.components.shape == (36, 2)


@pytest.mark.parametrize(
    ("types", "latents"),
    [
        ([None] * 8, np.arange(16.0).reshape(8, 2)),
        ([None, None, "a", "b"], np.arange(8.0).reshape(4, 2)),
        ([None] * 3 + ["a"] * 3, np.ones((6, 2))),
        ([None] * 3 + ["a"] * 3, None),
    ],
)
def test_what_cannot_be_mapped_makes_no_map(types, latents):
    scored = make_plain(types, latents=latents)
    assert map_latents(scored) is None
    assert find_novel_defects(scored, options=QUICK).pictures() == {}


def test_one_type_alone_is_still_mapped_and_the_same_latents_give_the_same_picture():
    types, latents = blobs()
    scored = make_plain(["only" if name else None for name in types], latents=latents)
    first, second = (latent_map_figure(map_latents(scored)) for _ in range(2))
    assert first.uri == second.uri
    assert "mean nothing" in first.caption


def test_duplicated_images_are_mapped_and_grouped():
    types, latents = blobs()
    scored = make_plain(types, latents=np.round(latents / 40) * 40)
    assert map_latents(scored) is not None
    assert find_clusters(scored, QUICK)[0].groupings[0].agreement.value > 0.4


def test_many_types_with_long_names_are_drawn_and_no_two_look_alike():
    count = len(MARKERS) * len(TYPE_COLOURS)
    looks = {(MARKERS[i % len(MARKERS)], TYPE_COLOURS[i % len(TYPE_COLOURS)]) for i in range(count)}
    assert len(looks) == count == 42
    types, latents = blobs()
    found = map_latents(make_plain(types, latents=latents))
    renamed = replace(
        found, types=np.array([f"{i % 18} {'long ' * 20}" if t else "" for i, t in enumerate(found.types)])
    )
    assert latent_map_figure(renamed).uri.startswith("data:image/svg+xml")

"""Robustness: paired changes, rates at fixed thresholds, what is marked, and a figure that shows it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from waferlens.decision.intervals import clopper_pearson
from waferlens.errors import MetricError
from waferlens.evaluation.image_metrics import image_auroc
from waferlens.evaluation.paired import delong_difference
from waferlens.evaluation.plots_robustness import robustness_figure, robustness_picture
from waferlens.evaluation.robustness import MAX_COST, robustness
from waferlens.images.disturbances import DISTURBANCES, NONE

REVIEW, REJECT = 1.5, 2.5
SHIFT = next(kind for kind in DISTURBANCES if kind.key == "shift")


def slow_auroc(scores, defective):
    """Every pair of a normal and a defective image."""
    pairs = [(good, bad) for good in scores[~defective] for bad in scores[defective]]
    return sum(1.0 if bad > good else 0.5 if bad == good else 0.0 for good, bad in pairs) / len(pairs)


@pytest.fixture(scope="module")
def defective():
    return np.arange(50) >= 30


@pytest.fixture(scope="module")
def undisturbed(defective):
    return np.random.default_rng(0).normal(0, 1, 50) + 2.5 * defective


@pytest.fixture(scope="module")
def disturbed(undisturbed, defective):
    """Noise grows with the level, and normal images drift upwards: ranking and overkill both suffer."""

    def scores(kind, place):
        rng = np.random.default_rng([place, len(kind.key)])
        return undisturbed + 0.3 * place * ~defective + rng.normal(0, 0.2 * place, len(undisturbed))

    return [
        (kind, {level.name: scores(kind, place) for place, level in enumerate(kind.levels) if place})
        for kind in DISTURBANCES
    ]


@pytest.fixture(scope="module")
def found(defective, undisturbed, disturbed):
    return robustness(defective, undisturbed, disturbed, review_threshold=REVIEW, reject_threshold=REJECT)


def measured(defective, undisturbed, scores):
    """One disturbance of which every level has the same scores; its last level."""
    levels = {level.name: scores for level in SHIFT.levels if not level.is_none}
    result = robustness(
        defective, undisturbed, [(SHIFT, levels)], review_threshold=REVIEW, reject_threshold=REJECT
    )
    return result.results[0].levels[-1]


def test_every_level_of_every_ladder_is_there_in_order(found):
    for kind, result in zip(DISTURBANCES, found.results, strict=True):
        assert [(level.name, level.amount) for level in result.levels] == [
            (level.name, level.amount) for level in kind.levels
        ]


def test_the_undisturbed_level_is_the_same_everywhere_and_changes_nothing(found, undisturbed, defective):
    firsts = [result.levels[0] for result in found.results]
    assert all(first.auroc == image_auroc(undisturbed, defective) for first in firsts)
    assert all(first.auroc_change.value == 0 and first.p_value == 1 for first in firsts)
    assert not any(first.is_costly for first in firsts)


def test_the_change_is_the_difference_of_the_areas_with_the_paired_interval(
    found, disturbed, undisturbed, defective
):
    base = slow_auroc(undisturbed, defective)
    for (_, scores), result in zip(disturbed, found.results, strict=True):
        for level in result.levels[1:]:
            assert level.auroc.value == pytest.approx(slow_auroc(scores[level.name], defective))
            assert level.auroc_change.value == pytest.approx(level.auroc.value - base)
            expected, p_value = delong_difference(scores[level.name], undisturbed, defective)
            assert (level.auroc_change, level.p_value) == (expected, p_value)


def test_pairing_is_sharper_than_two_intervals_side_by_side(defective):
    """A small disturbance of every score leaves the wide AUROC interval and gives a narrow one of the change."""
    rng = np.random.default_rng(1)
    before = rng.normal(0, 1, 50) + defective
    level = measured(defective, before, before + rng.normal(0, 0.1, 50))
    assert level.auroc_change.high - level.auroc_change.low < 0.3 * (level.auroc.high - level.auroc.low)


def test_rates_count_decisions_at_the_given_thresholds_with_exact_intervals(found, disturbed, defective):
    for (_, scores), result in zip(disturbed, found.results, strict=True):
        for level in result.levels[1:]:
            normal, bad = scores[level.name][~defective], scores[level.name][defective]
            for rate, count, among in (
                (level.overkill_rate, sum(normal >= REVIEW), len(normal)),
                (level.normal_reject_rate, sum(normal >= REJECT), len(normal)),
                (level.escape_rate, sum(bad < REVIEW), len(bad)),
            ):
                assert rate.value == count / among
                assert (rate.low, rate.high) == clopper_pearson(int(count), among)


def test_a_score_on_the_threshold_does_not_pass(defective, undisturbed):
    level = measured(defective, undisturbed, np.full(50, REVIEW))
    assert (level.overkill_rate.value, level.escape_rate.value) == (1.0, 0.0)


@pytest.mark.parametrize(("num_lost", "is_costly"), [(0, False), (1, False), (2, True)])
def test_only_more_than_the_allowed_cost_is_marked(num_lost, is_costly):
    """10 normal and 5 defective images make 50 pairs: one lost pair costs exactly 0.02."""
    bad = np.arange(15) >= 10
    before = np.arange(15.0)
    after = before.copy()
    after[10] -= 0.5 + num_lost
    level = measured(bad, before, after)
    assert level.auroc_change.value == pytest.approx(-num_lost * MAX_COST)
    assert level.is_costly is is_costly


def test_one_class_alone_has_rates_and_no_ranking(undisturbed, defective):
    level = measured(defective[:30], undisturbed[:30], undisturbed[:30] + 1)
    assert np.isnan(level.auroc.value)
    assert np.isnan(level.auroc_change.value)
    assert np.isnan(level.escape_rate.value)
    assert 0 < level.overkill_rate.value < 1
    assert not level.is_costly


def test_the_json_form_has_no_nan_and_names_what_is_costly(found, defective, undisturbed):
    content = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert content["counts"] == {"normal": 30, "defective": 20}
    for result in found.results:
        listed = content["disturbances"][result.key]
        assert listed["costly_levels"] == [level.name for level in result.levels if level.is_costly]
        assert [level["name"] for level in listed["levels"]] == [level.name for level in result.levels]
    assert any(result.costly for result in found.results)
    alone = robustness(
        defective[:30],
        undisturbed[:30],
        [(SHIFT, dict.fromkeys((level.name for level in SHIFT.levels), undisturbed[:30]))],
        review_threshold=REVIEW,
        reject_threshold=REJECT,
    )
    json.dumps(alone.as_dict(), allow_nan=False)


def test_what_does_not_pair_up_is_refused(defective, undisturbed):
    with pytest.raises(MetricError, match="pair up"):
        measured(defective, undisturbed, undisturbed[1:])
    with pytest.raises(MetricError, match="finite"):
        measured(defective, undisturbed, np.where(defective, np.nan, undisturbed))
    with pytest.raises(MetricError, match="pair up"):
        measured(defective[:0], undisturbed[:0], undisturbed[:0])
    with pytest.raises(MetricError, match="shift: a level was not scored"):
        robustness(defective, undisturbed, [(SHIFT, {})], review_threshold=REVIEW, reject_threshold=REJECT)
    with pytest.raises(MetricError, match="REJECT begins below REVIEW"):
        robustness(defective, undisturbed, [], review_threshold=REJECT, reject_threshold=REVIEW)


def test_the_figure_has_a_panel_for_each_disturbance_with_its_levels_from_left_to_right(found):
    panels = {ax.get_title(loc="left"): ax for ax in robustness_figure(found).axes if ax.get_title(loc="left")}
    assert list(panels) == [kind.title for kind in DISTURBANCES]
    names = {title: [text.get_text() for text in panel.get_xticklabels()] for title, panel in panels.items()}
    assert names["Shift"] == [level.name for level in SHIFT.levels]
    assert names["JPEG"][0] == names["Bit depth"][0] == NONE
    assert names["Gain"].index(NONE) == names["Offset"].index(NONE) == 2


def test_the_figure_draws_values_where_they_are_and_rings_what_is_costly(found):
    panels = [ax for ax in robustness_figure(found).axes if ax.get_title(loc="left")]
    for panel, result in zip(panels, found.results, strict=True):
        drawn, *rings = (line for line in panel.lines if line.get_marker() == "o")
        assert sorted(drawn.get_ydata()) == sorted(level.auroc.value for level in result.levels)
        ringed = [value for line in rings for value in line.get_ydata()]
        assert sorted(ringed) == sorted(level.auroc.value for level in result.costly)


@pytest.mark.parametrize("num_panels", [1, 4])
def test_a_part_of_the_disturbances_and_normals_alone_can_be_drawn(found, num_panels):
    robustness_picture(replace(found, results=found.results[:num_panels]))


def test_the_picture_of_normals_alone_shows_overkill(undisturbed, defective):
    levels = {level.name: undisturbed[:30] + level.amount for level in SHIFT.levels}
    alone = robustness(
        defective[:30], undisturbed[:30], [(SHIFT, levels)], review_threshold=REVIEW, reject_threshold=REJECT
    )
    figure = robustness_figure(alone)
    overkill = next(line for ax in figure.axes for line in ax.lines if line.get_marker() == "s")
    assert list(overkill.get_ydata()) == [level.overkill_rate.value for level in alone.results[0].levels]
    assert robustness_picture(alone).uri == robustness_picture(alone).uri

"""Types held out in turn: by hand, whatever the order of the images, and honest where little is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from novelty_examples import make_plain, shuffled

from waferlens.decision.intervals import clopper_pearson
from waferlens.errors import MetricError
from waferlens.evaluation.exploration import ExplorationData
from waferlens.evaluation.novel_defects import find_novel_defects
from waferlens.evaluation.novelty import hold_out_types, mean_auroc
from waferlens.evaluation.per_type import per_defect_type
from waferlens.evaluation.ranking import auroc
from waferlens.evaluation.report import render_report
from waferlens.evaluation.report_content import ReportContent
from waferlens.evaluation.resampling import MetricOptions
from waferlens.evaluation.summary import metrics_for

QUICK = MetricOptions(num_draws=200, num_pixel_draws=200)


def by_hand():
    """Ten normals that score 0 to 9; one easy type, and one of which a defect hides among the normals."""
    return make_plain([None] * 10 + ["easy", "easy", "hard", "hard"], [*range(10), 20, 21, 5, 30])


def random_types(seed=0):
    rng = np.random.default_rng(seed)
    types = [None] * 30 + ["a"] * 6 + ["b"] * 9 + ["c"] * 5
    return make_plain(types, np.round(rng.normal([0.0] * 30 + [1.5] * 6 + [0.5] * 9 + [3.0] * 5), 1))


def test_what_two_types_say_about_each_other_is_counted_by_hand():
    hard, easy = hold_out_types(by_hand(), {"limit": 20.5})
    assert (hard.defect_type, easy.defect_type) == ("hard", "easy")
    assert hard.auroc.value == (5.5 + 10) / 20  # 5 beats five normals and ties with one, 30 beats all
    assert easy.auroc.value == 1
    assert (hard.misses["limit"].num_missed, easy.misses["limit"].num_missed) == (1, 1)
    # Without a miss among the easy ones the threshold may be 20, among the hard ones only 5.
    assert (hard.others.misses.threshold, easy.others.misses.threshold) == (20, 5)
    assert (hard.others.misses.num_missed, easy.others.misses.num_missed) == (1, 0)
    assert (hard.others.overkill_rate.value, easy.others.overkill_rate.value) == (0, 0.5)
    assert (hard.others.num_others, easy.others.num_others) == (2, 2)


def test_every_rate_has_its_exact_interval():
    hard, _ = hold_out_types(by_hand(), {"limit": 20.5})
    for rate, k, n in ((hard.others.misses.miss_rate, 1, 2), (hard.others.overkill_rate, 0, 10)):
        assert (rate.low, rate.high) == clopper_pearson(k, n)


def test_the_threshold_of_the_others_is_the_largest_that_misses_none_of_them():
    scored = random_types()
    for held in hold_out_types(scored, {}, QUICK):
        others = scored.scores[scored.defective & (np.array(scored.defect_types) != held.defect_type)]
        threshold = held.others.misses.threshold
        assert (others >= threshold).all()
        assert (others < np.nextafter(threshold, np.inf)).any()


def test_the_ranking_agrees_with_the_results_by_type():
    scored = random_types()
    known = per_defect_type(scored, {"limit": 1.0})
    held_out = hold_out_types(scored, {"limit": 1.0}, QUICK)
    assert [held.defect_type for held in held_out] == [result.defect_type for result in known]
    for held, result in zip(held_out, known, strict=True):
        assert held.auroc == result.auroc
        assert held.misses["limit"].miss_rate.value == pytest.approx(1 - result.detection_rates["limit"].value)


def test_the_order_of_the_images_changes_nothing():
    scored = random_types()
    assert hold_out_types(scored, {"limit": 1.0}, QUICK) == hold_out_types(shuffled(scored), {"limit": 1.0}, QUICK)


def test_where_areas_tie_the_most_missed_type_is_the_worst_and_then_the_name_decides():
    scored = make_plain([None, None, "a", "b", "c"], [0, 1, 5, 3, 5])
    assert [held.defect_type for held in hold_out_types(scored, {"limit": 4.0}, QUICK)] == ["b", "a", "c"]


def test_how_often_a_type_is_the_worst_has_a_slow_twin():
    scored = random_types()
    normal = np.sort(scored.scores[~scored.defective])
    groups = {name: np.sort(scored.scores[np.array(scored.defect_types) == name]) for name in "abc"}
    rng = np.random.default_rng(QUICK.seed)
    drawn = rng.multinomial(len(normal), np.full(len(normal), 1 / len(normal)), size=200)
    areas = []
    for scores in groups.values():
        counts = rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores)), size=200)
        areas.append(
            [auroc(np.repeat(normal, m), np.repeat(scores, n)) for m, n in zip(drawn, counts, strict=True)]
        )
    lowest = np.min(areas, axis=0)
    expected = dict(zip(groups, (np.array(areas) <= lowest + 1e-9).mean(axis=1), strict=True))
    found = {held.defect_type: held.lowest_share for held in hold_out_types(scored, {}, QUICK)}
    assert found == pytest.approx(expected)


def test_types_that_are_all_perfect_share_the_last_place():
    scored = make_plain([None] * 5 + ["a", "b", "b"], [0, 1, 2, 3, 4, 10, 11, 12])
    assert [held.lowest_share for held in hold_out_types(scored, {}, QUICK)] == [1, 1]


def test_the_mean_weighs_types_not_images_and_stays_open_at_a_perfect_result():
    perfect = hold_out_types(make_plain([None] * 5 + ["a", "b", "b"], [0, 1, 2, 3, 4, 10, 11, 12]), {}, QUICK)
    mean = mean_auroc(perfect)
    assert (mean.value, mean.high) == (1, 1)
    assert mean.low < 0.7
    few_hard = make_plain([None] * 4 + ["a"] * 9 + ["b"], [0, 1, 2, 3, *range(10, 19), 1.5])
    assert mean_auroc(hold_out_types(few_hard, {}, QUICK)).value == 0.75


def test_a_single_type_has_no_others_to_learn_from():
    (held,) = hold_out_types(make_plain([None, None, "only"], [0, 1, 2]), {}, QUICK)
    assert held.others is None
    assert held.lowest_share == 1
    assert held.as_dict()["others_threshold"] is None


def test_a_test_set_of_one_class_cannot_hold_out_a_type():
    for types in (["a", "b"], [None, None]):
        with pytest.raises(MetricError, match="normal and defective"):
            hold_out_types(make_plain(types), {})
        assert find_novel_defects(make_plain(types)).types == ()


def test_a_defect_without_a_type_is_held_out_as_unnamed():
    scored = replace(make_plain([None, "x"], [0, 1]), defect_types=(None, None))
    assert [held.defect_type for held in hold_out_types(scored, {}, QUICK)] == ["unnamed"]


def test_the_findings_are_json_with_the_worst_type_first():
    found = find_novel_defects(by_hand(), review_threshold=8.0, reject_threshold=25.0, options=QUICK)
    content = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert content["worst_type"] == next(iter(content["types"])) == "hard"
    missed = content["types"]["hard"]["missed"]
    assert {name: misses["num_missed"] for name, misses in missed.items()} == {"fpr5": 1, "review": 1, "reject": 1}
    assert content["types"]["easy"]["missed"]["reject"]["miss_rate"]["value"] == 1
    assert content["types"]["hard"]["others_threshold"]["num_missed"] == 1


def rendered(scored, training_images):
    return render_report(
        ReportContent(
            title="Novel",
            detector=scored,
            metrics={scored.method: metrics_for(scored, options=QUICK)},
            exploration=ExplorationData(train_images=training_images),
            novel_defects=find_novel_defects(scored, options=QUICK),
        )
    )


def test_the_summary_of_the_report_names_the_worst_type(scored, training_images):
    page = rendered(scored, training_images)
    summary = page.split('<section id="summary">')[1].split("</section>")[0]
    worst, best = hold_out_types(scored, {}, QUICK)
    assert f"<strong>{worst.defect_type}</strong> fares worst" in summary
    section = page.split('<section id="novelty">')[1].split("</section>")[0]
    assert section.index(f"<th>{worst.defect_type}<br>") < section.index(f"<th>{best.defect_type}<br>")
    assert "distances between groups, their sizes and the axes mean nothing" in section
    assert "1 means that two images share a group exactly when they share a type" in section


def test_a_report_on_normals_alone_says_what_is_missing(normals_only, training_images):
    page = rendered(normals_only, training_images)
    assert "Holding types out takes normal and defective test images" in page
    assert "The test set has no defective image." in page
    assert "fares worst" not in page

"""The figures of one method as one mapping, the types behind them, and what is refused at the door."""

import json
from dataclasses import replace

import numpy as np
import pytest

from waferlens.errors import MetricError
from waferlens.evaluation.per_type import per_defect_type
from waferlens.evaluation.resampling import MetricOptions
from waferlens.evaluation.summary import FIVE_FIGURES, metrics_for

QUICK = MetricOptions(num_draws=200, num_pixel_draws=200)


def test_both_scores_have_the_same_five_figures_each_with_an_interval(scored):
    metrics = metrics_for(scored, options=QUICK)
    for key in ("score", "reconstruction_error"):
        assert tuple(metrics[key]) == FIVE_FIGURES
        for figure in metrics[key].values():
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert metrics["num_parameters"] == 1234
    assert metrics["decision"] is None


def test_the_mapping_is_json_without_nan(scored, normals_only):
    for images in (scored, normals_only):
        text = json.dumps(
            metrics_for(images, review_threshold=4.0, reject_threshold=5.0, options=QUICK), allow_nan=False
        )
        assert json.loads(text)["counts"]["images"] == images.num_images


def test_what_a_method_does_not_give_is_null(scored):
    bare = replace(scored, heatmaps=None, reconstruction_errors=None, error_maps=None)
    metrics = metrics_for(bare, options=QUICK)
    assert metrics["score"]["pixel_auroc"]["value"] is None
    assert metrics["score"]["image_auroc"]["value"] is not None
    assert all(figure["value"] is None for figure in metrics["reconstruction_error"].values())


def test_normals_alone_give_overkill_and_no_ranking(normals_only):
    threshold = float(np.median(normals_only.scores))
    metrics = metrics_for(normals_only, review_threshold=threshold, reject_threshold=np.inf, options=QUICK)
    assert metrics["score"]["image_auroc"]["value"] is None
    assert metrics["operating_point"] is None
    assert metrics["one_false_alarm"] is None
    assert metrics["decision"]["overkill_rate"]["value"] == 0.5
    assert metrics["decision"]["escape_rate"]["value"] is None


def test_one_false_alarm_is_the_threshold_between_the_two_highest_normal_scores(scored):
    point = metrics_for(scored, options=QUICK)["one_false_alarm"]
    second, highest = np.sort(scored.scores[~scored.defective])[-2:]
    assert second < point["threshold"] <= highest
    assert point["num_false_alarms"] == 1
    assert point["num_misses"] == (scored.scores[scored.defective] <= second).sum()


def test_pass_review_and_reject_share_out_every_image(scored):
    review, reject = np.quantile(scored.scores, [0.3, 0.8])
    decision = metrics_for(scored, review_threshold=review, reject_threshold=reject, options=QUICK)["decision"]
    normal, defective = ~scored.defective, scored.defective
    passed = scored.scores < review
    assert decision["escape_rate"]["value"] == passed[defective].mean()
    assert decision["overkill_rate"]["value"] == (~passed)[normal].mean()
    overkill = decision["normal_reject_rate"]["value"] + decision["normal_review_rate"]["value"]
    assert overkill == pytest.approx(decision["overkill_rate"]["value"])


def test_thresholds_come_in_pairs_and_in_order(scored):
    with pytest.raises(MetricError, match="both or neither"):
        metrics_for(scored, review_threshold=1.0, options=QUICK)
    with pytest.raises(MetricError, match="REJECT begins below REVIEW"):
        metrics_for(scored, review_threshold=2.0, reject_threshold=1.0, options=QUICK)


def test_types_are_listed_hardest_first_and_share_out_the_defects(scored):
    types = per_defect_type(scored, {"any": -np.inf, "none": np.inf})
    assert sum(result.num_images for result in types) == scored.defective.sum()
    assert [result.auroc.value for result in types] == sorted(result.auroc.value for result in types)
    assert all(result.detection_rates["any"].value == 1 for result in types)
    assert all(result.detection_rates["none"].high < 1 for result in types)


def test_a_shape_that_disagrees_is_refused_by_name(scored):
    with pytest.raises(MetricError, match=r"heatmaps has another shape.*\(26, 256, 256\)"):
        replace(scored, heatmaps=scored.heatmaps[:5])


def test_a_score_that_is_not_finite_names_its_image(scored):
    scores = scored.scores.copy()
    scores[2] = np.inf
    with pytest.raises(MetricError, match=r"image-002\.png"):
        replace(scored, scores=scores)


def test_a_normal_image_with_mask_pixels_is_a_contradiction(scored):
    masks = scored.masks.copy()
    masks[0, 5, 5] = True
    with pytest.raises(MetricError, match=r"image-000\.png with 1 mask pixels"):
        replace(scored, masks=masks)


def test_a_drawn_mask_that_marks_nothing_is_a_contradiction(scored):
    with pytest.raises(MetricError, match="an empty mask"):
        replace(scored, masks=np.zeros_like(scored.masks))


def test_repeated_names_are_refused(scored):
    with pytest.raises(MetricError, match="names repeat"):
        replace(scored, names=("same",) * scored.num_images)

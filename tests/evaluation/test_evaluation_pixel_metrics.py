"""Pixel metrics: the histogram figures against exact twins, and what they must not depend on."""

import math
from dataclasses import replace

import numpy as np
import pytest
from evaluation_examples import make_scored
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

from waferlens.errors import MetricError
from waferlens.evaluation.pixel_histograms import pixel_histograms
from waferlens.evaluation.pixel_metrics import pixel_metrics
from waferlens.evaluation.resampling import MetricOptions

QUICK = MetricOptions(num_pixel_draws=200)
TOLERANCE = 1e-3
"""Two bins of 2,048 in false positive rate."""


def exact_aupro(heatmaps, masks, limit=0.3):
    """Every distinct value a threshold, every region walked: slow and obvious."""
    normal = np.sort(heatmaps[~masks])
    regions = []
    for heatmap, mask in zip(heatmaps, masks, strict=True):
        numbered, count = label(mask, structure=np.ones((3, 3)))
        regions += [np.sort(heatmap[numbered == number]) for number in range(1, count + 1)]
    thresholds = np.append(np.inf, np.unique(heatmaps)[::-1])
    fpr = 1 - np.searchsorted(normal, thresholds) / normal.size
    pro = np.mean([1 - np.searchsorted(region, thresholds) / region.size for region in regions], axis=0)
    grid = np.append(fpr[fpr < limit], limit)
    values = np.append(pro[fpr < limit], np.interp(limit, fpr, pro))
    return np.trapezoid(values, grid) / limit


def test_pixel_auroc_is_scikit_learns_within_a_bin(scored):
    found = pixel_metrics(scored.heatmaps, scored, QUICK)
    exact = roc_auc_score(scored.masks.ravel(), scored.heatmaps.ravel())
    assert found.pixel_auroc.value == pytest.approx(exact, abs=TOLERANCE)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_is_the_exact_twins_within_a_bin(scored, limit):
    found = pixel_metrics(scored.heatmaps, scored, QUICK.model_copy(update={"pro_max_fpr": limit}))
    assert found.aupro.value == pytest.approx(exact_aupro(scored.heatmaps, scored.masks, limit), abs=TOLERANCE)


def test_heavy_ties_do_not_disturb_either_figure(scored):
    coarse = np.round(scored.heatmaps)
    found = pixel_metrics(coarse, scored, QUICK)
    assert found.pixel_auroc.value == pytest.approx(
        roc_auc_score(scored.masks.ravel(), coarse.ravel()), abs=TOLERANCE
    )
    assert found.aupro.value == pytest.approx(exact_aupro(coarse, scored.masks), abs=TOLERANCE)


def test_a_monotone_change_of_scale_leaves_the_figures_alone(scored):
    plain = pixel_metrics(scored.heatmaps, scored, QUICK)
    bent = pixel_metrics(np.exp(scored.heatmaps / 2), scored, QUICK)
    assert bent.pixel_auroc.value == pytest.approx(plain.pixel_auroc.value, abs=TOLERANCE)
    assert bent.aupro.high == pytest.approx(plain.aupro.high, abs=TOLERANCE)


def test_the_mask_itself_is_a_perfect_map_and_a_constant_one_is_chance(scored):
    perfect = pixel_metrics(scored.masks.astype(np.float32), scored, QUICK)
    assert (perfect.pixel_auroc.value, perfect.aupro.value) == pytest.approx((1, 1))
    constant = pixel_metrics(np.zeros_like(scored.heatmaps), scored, QUICK)
    assert constant.pixel_auroc.value == pytest.approx(0.5)
    assert constant.aupro.value == pytest.approx(0.15)  # the diagonal, up to 0.3, over 0.3


def test_the_interval_comes_from_resampling_images_and_is_reproducible(scored):
    once, again = (pixel_metrics(scored.heatmaps, scored, QUICK) for _ in range(2))
    assert once == again
    assert once.aupro.low < once.aupro.value < once.aupro.high


def test_regions_touching_at_a_corner_are_one():
    scored = make_scored(num_normal=2, strengths=(3.0,))
    masks = scored.masks.copy()
    masks[2] = False
    masks[2, 10:20, 10:20] = masks[2, 20:30, 20:30] = True
    assert pixel_histograms(scored.heatmaps, replace(scored, masks=masks)).num_regions.tolist() == [0, 0, 1]


def test_a_defect_without_a_drawn_mask_is_left_out(scored):
    has_mask = scored.has_mask.copy()
    has_mask[-1] = False
    found = pixel_metrics(scored.heatmaps, replace(scored, has_mask=has_mask), QUICK)
    assert found.num_images == scored.num_images - 1


def test_one_masked_defect_has_a_value_and_no_interval():
    scored = make_scored(num_normal=4, strengths=(4.0,))
    found = pixel_metrics(scored.heatmaps, scored, QUICK)
    assert found.pixel_auroc.value > 0.9
    assert math.isnan(found.pixel_auroc.low)


def test_no_masked_defect_is_an_error(normals_only):
    with pytest.raises(MetricError, match="with a mask"):
        pixel_metrics(normals_only.heatmaps, normals_only, QUICK)


def test_a_value_that_is_not_finite_names_its_image(scored):
    broken = scored.heatmaps.copy()
    broken[3, 5, 5] = np.nan
    with pytest.raises(MetricError, match="image-003"):
        pixel_metrics(broken, scored, QUICK)

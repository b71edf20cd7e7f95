"""Every picture of a report, drawn from its content. A picture that the data do not allow is absent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from waferlens.evaluation.exploration import Exploration, ExplorationData
from waferlens.evaluation.figures import Picture
from waferlens.evaluation.per_type import TypeResult
from waferlens.evaluation.plots_data import class_intensity_figure, intensity_figure, training_figure
from waferlens.evaluation.plots_pod import pod_picture
from waferlens.evaluation.plots_robustness import robustness_picture
from waferlens.evaluation.plots_scores import (
    pr_figure,
    roc_figure,
    score_distributions,
    type_rates_figure,
)
from waferlens.evaluation.report_content import ReportContent
from waferlens.evaluation.scored import Scores
from waferlens.evaluation.tiles import grey_tile, outlined, tile_grid
from waferlens.records import FloatArray

ERROR_SUFFIX = ", a(x)"


def exploration_pictures(data: ExplorationData, found: Exploration) -> dict[str, Picture]:
    """Keys: normals, mean_and_std, intensities; with defects also defects and class_intensities."""
    reference = found.reference
    spread = max(float(reference.std_image.max()), 1e-6)
    pictures = {
        "normals": tile_grid(
            [grey_tile(data.train_images[index]) for index in found.grid],
            columns=8,
            tile_px=112,
            alt=f"{len(found.grid)} random normal images",
            caption=f"{len(found.grid)} normal training images, chosen at random by the seed.",
        ),
        "mean_and_std": tile_grid(
            [grey_tile(reference.mean_image), grey_tile(reference.std_image, 0, spread)],
            columns=2,
            tile_px=256,
            alt="Mean image and standard deviation image of the training normals",
            caption=f"Left: mean of {found.num_train} training normals. Right: standard deviation, black 0 to "
            f"white {spread:.3f}.",
        ),
        "intensities": intensity_figure(
            data.train_images, caption=f"Grey values of {found.num_train} training images."
        ),
    }
    if data.test_images is None or data.test_defective is None or not data.test_defective.any():
        return pictures
    pictures["defects"] = _defect_grid(data.test_images, data, found)
    if not data.test_defective.all():
        normal = data.test_images[~data.test_defective]
        defective = data.test_images[data.test_defective]
        pictures["class_intensities"] = class_intensity_figure(
            normal, defective, caption="Normal against defective test images, all pixels."
        )
    return pictures


def result_pictures(
    content: ReportContent, thresholds: Mapping[str, float], types: tuple[TypeResult, ...]
) -> dict[str, Picture]:
    """Keys: distribution, training, roc, pr, types, baseline_errors, baseline_scores, robustness, pod, where there
    is data.
    """
    detector, defective = content.detector, content.detector.defective
    pictures = {
        "distribution": score_distributions(
            detector,
            thresholds,
            caption="Above: number of images by score. Below: every image as a dot, by defect type. "
            "Lines: thresholds.",
        )
    }
    if content.robustness is not None:
        pictures["robustness"] = robustness_picture(content.robustness)
    if content.pod is not None:
        pictures["pod"] = pod_picture(content.pod)
    if content.history:
        pictures["training"] = training_figure(content.history, caption="Mean over the images of an epoch.")
    if not detector.has_both_classes:
        return pictures
    overlaid = _overlay(content)
    pictures["roc"] = roc_figure(
        overlaid,
        defective,
        highlight=detector.method,
        caption="Shaded: false positive rates up to 5 %. Dots: operating points. Numbers: AUROC.",
    )
    pictures["pr"] = pr_figure(
        overlaid, defective, highlight=detector.method, caption="Dotted: share of defective images, i.e. chance."
    )
    names = {key: key for key in thresholds}
    pictures["types"] = type_rates_figure(
        types, names, caption="Detection by defect type at each threshold; in brackets the number of images."
    )
    return pictures | _baseline_rocs(content)


def _overlay(content: ReportContent) -> dict[str, Scores]:
    """The detector by both its scores, and the calibrated score of each baseline."""
    detector = content.detector
    methods = {detector.method: detector.scores}
    if detector.reconstruction_errors is not None:
        methods[detector.method + ERROR_SUFFIX] = detector.reconstruction_errors
    return methods | {name: baseline.scores for name, baseline in content.baselines.items()}


def _baseline_rocs(content: ReportContent) -> dict[str, Picture]:
    defective = content.detector.defective
    errors = {
        name: baseline.reconstruction_errors
        for name, baseline in content.baselines.items()
        if baseline.reconstruction_errors is not None
    }
    pictures = {}
    if errors:
        pictures["baseline_errors"] = roc_figure(
            errors, defective, title="By reconstruction error a(x)", caption="Baselines scored by a(x)."
        )
    if content.baselines:
        scores = {name: baseline.scores for name, baseline in content.baselines.items()}
        pictures["baseline_scores"] = roc_figure(
            scores, defective, title="By calibrated score", caption="The same baselines by calibrated score."
        )
    return pictures


def _defect_grid(images: FloatArray, data: ExplorationData, found: Exploration) -> Picture:
    tiles = []
    for index in found.defect_grid:
        tile = grey_tile(images[index])
        if data.test_masks is not None:
            tile = outlined(tile, np.asarray(data.test_masks[index]))
        tiles.append(tile)
    return tile_grid(
        tiles,
        columns=8,
        tile_px=112,
        alt=f"{len(tiles)} defective images with the outline of their masks",
        caption=f"{len(tiles)} defective test images, spread over the types; cyan: outline of the true mask.",
    )

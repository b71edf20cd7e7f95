"""How defects differ from the normals at the same place, and how much of the image they take.

Each defect is compared inside its own mask with normal images inside the same mask, so a defect on a
bright line is measured against bright lines. Effects are in standard deviations of those normals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

from waferlens.evaluation.pixel_histograms import EIGHT_CONNECTED
from waferlens.evaluation.reference import NormalReference, sample_indices
from waferlens.evaluation.scored import BoolArray, Scores
from waferlens.records import IMAGE_SIZE, FloatArray

MAX_NORMALS = 64
NOTABLE = 2.0
"""An effect beyond two standard deviations counts as visible: one normal in twenty reaches it."""


@dataclass(frozen=True, kw_only=True)
class Departures:
    """(D,) effects of D masked defects, in standard deviations among normals inside the same mask.

    brightness: mean departure (negative = darker). contrast: mean absolute departure. edges: mean gradient.
    """

    brightness: Scores
    contrast: Scores
    edges: Scores
    num_normals: int


@dataclass(frozen=True, kw_only=True)
class Extent:
    """(D,) area_fractions of the image in [0, 1], and num_regions (8-connected) of each mask."""

    area_fractions: Scores
    num_regions: npt.NDArray[np.int64]


def measure_departures(
    images: FloatArray, masks: BoolArray, normals: FloatArray, reference: NormalReference, *, seed: int = 0
) -> Departures | None:
    """images, masks: (D, 256, 256). normals: (N, 256, 256). None with fewer than two normals."""
    if len(normals) < 2:
        return None
    chosen = np.asarray(normals[sample_indices(len(normals), MAX_NORMALS, seed)])
    # (M, 65536) planes of the normals, so that one mask picks its columns at once.
    standardised = reference.standardise(chosen).reshape(len(chosen), -1)
    gradients = np.stack([gradient_magnitude(image) for image in chosen]).reshape(len(chosen), -1)
    effects = np.array(
        [
            _effects(image, mask.ravel(), standardised, gradients, reference)
            for image, mask in zip(images, masks, strict=True)
        ]
    )
    return Departures(
        brightness=effects[:, 0], contrast=effects[:, 1], edges=effects[:, 2], num_normals=len(chosen)
    )


def measure_extent(masks: BoolArray) -> Extent:
    """masks: (D, 256, 256), each with at least one pixel."""
    return Extent(
        area_fractions=masks.reshape(len(masks), -1).mean(axis=1),
        num_regions=np.array([label(mask, structure=EIGHT_CONNECTED)[1] for mask in masks]),
    )


def gradient_magnitude(image: FloatArray) -> FloatArray:
    """(256, 256) length of the central-difference gradient, grey per pixel."""
    down, right = np.gradient(np.asarray(image, dtype=np.float32))
    magnitude: FloatArray = np.hypot(down, right)
    return magnitude


def _effects(
    image: FloatArray,
    inside: BoolArray,
    standardised: FloatArray,
    gradients: FloatArray,
    reference: NormalReference,
) -> tuple[float, float, float]:
    departure = reference.standardise(image).ravel()[inside]
    normal = standardised[:, inside]
    edges = gradient_magnitude(image).reshape(IMAGE_SIZE * IMAGE_SIZE)[inside]
    return (
        _effect(float(departure.mean()), normal.mean(axis=1)),
        _effect(float(np.abs(departure).mean()), np.abs(normal).mean(axis=1)),
        _effect(float(edges.mean()), gradients[:, inside].mean(axis=1)),
    )


def _effect(value: float, among_normals: FloatArray) -> float:
    spread = max(float(among_normals.std(ddof=1)), 1e-6)  # identical normals: any departure is huge
    return (value - float(among_normals.mean())) / spread

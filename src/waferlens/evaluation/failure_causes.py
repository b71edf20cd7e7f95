"""Why an image was judged as it was, as measurements; `failure_modes` turns them into categories.

Shape legend: N test images, 256 x 256. A cause that cannot be measured (no mask, no heatmap) is NaN.
*Model error* at a position is the mean squared reconstruction error of the test set's normal images there:
where it is high the detector reconstructs badly anyway.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from waferlens.evaluation.reference import NormalReference
from waferlens.evaluation.scored import BoolArray, ScoredImages, Scores
from waferlens.records import IMAGE_SIZE, FloatArray

PEAK_TOLERANCE_PX = 4
"""A heatmap peak this far outside the mask still counts as on the defect: maps are smoothed."""

NAN = math.nan


@dataclass(frozen=True, kw_only=True)
class MissCauses:
    """Measured on a defective image.

    area_fraction: of the image, [0, 1]. contrast: mean |departure| inside the mask, normal standard
    deviations. border_px: distance of the mask to the image border. place_error_rank: share of positions
    where the model error is lower than inside the mask. peak_inside, peak_outside: of the heatmap, on the
    defect and elsewhere. peak_inside_rank: share of normal images whose heatmap peaks lower in this place.
    """

    area_fraction: float = NAN
    contrast: float = NAN
    border_px: float = NAN
    place_error_rank: float = NAN
    peak_inside: float = NAN
    peak_outside: float = NAN
    peak_inside_rank: float = NAN


@dataclass(frozen=True, kw_only=True)
class AlarmCauses:
    """Measured on a normal image.

    peak_row, peak_column: of the heatmap. border_px: its distance to the border. place_error_rank: as
    above, at the peak. brightness_departure, contrast_departure: of the image's mean and deviation, in
    robust standard deviations of the training normals. unusual_rank: share of training normals that lie
    nearer to their nearest neighbour (32 x 32 pixel averages). latent_rank: the same in latent space,
    among the test set's normal images.
    """

    peak_row: float = NAN
    peak_column: float = NAN
    border_px: float = NAN
    place_error_rank: float = NAN
    brightness_departure: float = NAN
    contrast_departure: float = NAN
    unusual_rank: float = NAN
    latent_rank: float = NAN


class CauseMeter:
    """Measures causes on the images of one test set; keeps what is common to all of them."""

    def __init__(self, scored: ScoredImages, reference: NormalReference) -> None:
        self._scored = scored
        self._reference = reference
        self._normals = np.flatnonzero(~scored.defective)
        self._place_ranks = _place_ranks(scored, self._normals)
        self._latent_ranks = _latent_ranks(scored, self._normals)

    def of_miss(self, index: int) -> MissCauses:
        """Causes of one defective image."""
        scored = self._scored
        if not scored.has_mask[index]:
            return MissCauses()
        mask = np.asarray(scored.masks[index])
        rows, columns = np.nonzero(mask)
        departure = self._reference.standardise(scored.images[index])
        inside, outside, rank = self._peaks(index, mask)
        return MissCauses(
            area_fraction=float(mask.mean()),
            contrast=float(np.abs(departure)[mask].mean()),
            border_px=min(
                _border_distance(rows.min(), columns.min()), _border_distance(rows.max(), columns.max())
            ),
            place_error_rank=NAN if self._place_ranks is None else float(self._place_ranks[mask].mean()),
            peak_inside=inside,
            peak_outside=outside,
            peak_inside_rank=rank,
        )

    def of_alarm(self, index: int) -> AlarmCauses:
        """Causes of one normal image."""
        scored, reference = self._scored, self._reference
        image = np.asarray(scored.images[index])
        peak = self._peak_place(index)
        rank = NAN if peak is None or self._place_ranks is None else float(self._place_ranks[peak])
        return AlarmCauses(
            peak_row=NAN if peak is None else peak[0],
            peak_column=NAN if peak is None else peak[1],
            border_px=NAN if peak is None else _border_distance(*peak),
            place_error_rank=rank,
            brightness_departure=robust_departure(float(image.mean()), reference.means),
            contrast_departure=robust_departure(float(image.std()), reference.stds),
            unusual_rank=reference.unusualness(image),
            latent_rank=self._latent_ranks.get(index, NAN),
        )

    def _peaks(self, index: int, mask: BoolArray) -> tuple[float, float, float]:
        """(peak on the defect, peak elsewhere, rank of the former among normals in the same place)."""
        heatmaps = self._scored.heatmaps
        if heatmaps is None:
            return NAN, NAN, NAN
        near = binary_dilation(mask, iterations=PEAK_TOLERANCE_PX)
        inside = float(heatmaps[index][near].max())
        outside = NAN if near.all() else float(heatmaps[index][~near].max())
        if not self._normals.size:
            return inside, outside, NAN
        # One image at a time: heatmaps may be a memory map larger than memory.
        below = [float(heatmaps[normal][near].max()) < inside for normal in self._normals]
        return inside, outside, float(np.mean(below))

    def _peak_place(self, index: int) -> tuple[int, int] | None:
        if self._scored.heatmaps is None:
            return None
        return divmod(int(np.argmax(self._scored.heatmaps[index])), IMAGE_SIZE)


def robust_departure(value: float, among: Scores) -> float:
    """(value - median) / (1.4826 x median absolute deviation); infinite where all others are equal."""
    median = float(np.median(among))
    spread = 1.4826 * float(np.median(np.abs(among - median)))
    if spread > 0:
        return (value - median) / spread
    return 0.0 if value == median else math.copysign(math.inf, value - median)


def _border_distance(row: float, column: float) -> float:
    return float(min(row, column, IMAGE_SIZE - 1 - row, IMAGE_SIZE - 1 - column))


def _place_ranks(scored: ScoredImages, normals: npt.NDArray[np.intp]) -> FloatArray | None:
    """(256, 256): share of positions with a lower model error; None without maps or normal images."""
    if not normals.size:
        return None
    total = np.zeros((IMAGE_SIZE, IMAGE_SIZE))
    for index in normals:
        error = _error_map(scored, int(index))
        if error is None:
            return None
        total += error
    ranks: FloatArray = ((rankdata(total) - 1) / (total.size - 1)).reshape(total.shape).astype(np.float32)
    return ranks


def _error_map(scored: ScoredImages, index: int) -> FloatArray | None:
    if scored.error_maps is not None:
        return np.asarray(scored.error_maps[index])
    if scored.reconstructions is None:
        return None
    error: FloatArray = np.square(scored.images[index] - scored.reconstructions[index])
    return error


def _latent_ranks(scored: ScoredImages, normals: npt.NDArray[np.intp]) -> dict[int, float]:
    """By normal image: share of normal images nearer to their nearest neighbour in latent space."""
    if scored.latents is None or normals.size < 2:
        return {}
    latents = np.asarray(scored.latents)[normals]
    distances = cdist(latents, latents)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.min(axis=1)
    ranks = (rankdata(nearest, method="min") - 1) / (normals.size - 1)
    return {int(index): float(rank) for index, rank in zip(normals, ranks, strict=True)}

"""From the images of a record to a few numbers a wafer: what drift is watched on. Numpy only.

Images of one wafer share its film, its line width and its station's lamp, so the wafer is the unit, not the image.
Points differ from each other by design: every image is first compared with the level of its own product and point,
learned while all was well.

Legend: n images, w wafers, Z latent dimensions, V statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from waferlens.errors import DataError
from waferlens.records import FloatArray

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]


class Statistic(StrEnum):
    """What is watched, in the order of the columns.

    brightness: log of the mean grey value as the camera gave it; the detector takes illumination out before it
    judges, so its score hardly moves with the lamp. score, error: calibrated score and log reconstruction error of
    PASS images. latent_mean: how far the wafer's mean latent lies from the normal one, root mean square over
    dimensions. latent_spread: log of the mean square of its latents about their mean.
    """

    BRIGHTNESS = "brightness"
    SCORE = "score"
    ERROR = "reconstruction error"
    LATENT_MEAN = "latent mean"
    LATENT_SPREAD = "latent spread"


@dataclass(frozen=True, kw_only=True)
class SeenImages:
    """Images as the record knows them. All (n,), latents (n, Z) float32; brightness NaN where it was not kept."""

    wafer: Texts
    station: Texts
    product: Texts
    point: npt.NDArray[np.int64]
    at_ms: npt.NDArray[np.int64]
    passed: npt.NDArray[np.bool_]
    score: Floats
    error: Floats
    brightness: Floats
    latents: FloatArray

    def __len__(self) -> int:
        return len(self.wafer)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Self:
        """Some of the images."""
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Levels:
    """What images of each product and point are like. Arrays by key, the last row is that of a point never seen.

    keys: (K,) ``product/point``. means: (K + 1, 3) of score, log error, log brightness. latents: (K + 1, Z) means;
    deviations: (Z,) within points.
    """

    keys: Texts
    means: Floats
    latents: FloatArray
    deviations: Floats


@dataclass(frozen=True, kw_only=True)
class WaferRows:
    """One row a wafer, in order of time. All (w,); values: (w, V), NaN where unknown."""

    wafer: Texts
    station: Texts
    product: Texts
    at_ms: npt.NDArray[np.int64]
    values: Floats

    def __len__(self) -> int:
        return len(self.wafer)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Self:
        """Some of the wafers."""
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})


_PRIOR_IMAGES = 5.0
"""A point's level is drawn towards that of all points as if so many images stood there."""


def learn_levels(images: SeenImages) -> Levels:
    """From images of a time when all was well. Raises DataError when there is none."""
    if not len(images):
        raise DataError("levels of normal images cannot be learned", expected="images", found="none")
    keys, index = np.unique(_keys(images), return_inverse=True)
    columns = _columns(images)
    overall = np.nanmean(columns, axis=0)
    known = np.isfinite(columns)
    sums = np.stack([np.bincount(index, np.where(known[:, c], columns[:, c], 0.0)) for c in range(3)], axis=1)
    nums = np.stack([np.bincount(index, known[:, c]) for c in range(3)], axis=1)
    means = (sums + _PRIOR_IMAGES * overall) / (nums + _PRIOR_IMAGES)
    counts = np.bincount(index).astype(np.float64)[:, None]
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(keys)))
    latent_sums = np.add.reduceat(images.latents[order].astype(np.float64), starts, axis=0)
    centre = images.latents.mean(axis=0, dtype=np.float64)
    latents = (latent_sums + _PRIOR_IMAGES * centre) / (counts + _PRIOR_IMAGES)
    deviations = np.sqrt(np.mean((images.latents - latents[index]) ** 2, axis=0)) + 1e-6
    return Levels(
        keys=keys,
        means=np.vstack([means, overall]),
        latents=np.vstack([latents, centre]).astype(np.float32),
        deviations=np.asarray(deviations, dtype=np.float64),
    )


def wafer_rows(images: SeenImages, levels: Levels) -> WaferRows:
    """One row for each wafer and station, in the order of their last image."""
    visits, index = np.unique(np.char.add(np.char.add(images.wafer, "\n"), images.station), return_inverse=True)
    rows = _row_of(images, levels)
    apart = _columns(images) - levels.means[rows]
    values = np.full((len(visits), len(Statistic)), np.nan)
    for column, position in ((2, 0), (0, 1), (1, 2)):
        known = np.isfinite(apart[:, column])
        num = np.bincount(index[known], minlength=len(visits))
        total = np.bincount(index[known], apart[known, column], minlength=len(visits))
        values[:, position] = np.divide(total, num, out=np.full(len(visits), np.nan), where=num > 0)
    standard = (images.latents - levels.latents[rows]) / levels.deviations
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(visits)))
    counts = np.bincount(index).astype(np.float64)
    mean = np.add.reduceat(standard[order], starts, axis=0) / counts[:, None]
    square = np.add.reduceat((standard[order] ** 2).mean(axis=1), starts) / counts
    values[:, 3] = np.sqrt((mean**2).mean(axis=1))
    values[:, 4] = np.log(np.maximum(square - (mean**2).mean(axis=1), 1e-6))
    last = np.full(len(visits), np.iinfo(np.int64).min)
    np.maximum.at(last, index, images.at_ms)
    first = order[starts]
    by_time = np.argsort(last, kind="stable")
    return WaferRows(
        wafer=images.wafer[first][by_time],
        station=images.station[first][by_time],
        product=images.product[first][by_time],
        at_ms=last[by_time],
        values=values[by_time],
    )


def point_columns(images: SeenImages, levels: Levels) -> Floats:
    """(n, 3) score, log error and log brightness of each image, from the level of its own point."""
    return np.asarray(_columns(images) - levels.means[_row_of(images, levels)], dtype=np.float64)


def _columns(images: SeenImages) -> Floats:
    """(n, 3): score and log error of what passed, log brightness of all."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack(
            [
                np.where(images.passed, images.score, np.nan),
                np.where(images.passed, np.log(np.maximum(images.error, 1e-9)), np.nan),
                np.log(np.maximum(images.brightness, 1e-4)),
            ],
            axis=1,
        )


def _keys(images: SeenImages) -> Texts:
    return np.char.add(np.char.add(images.product, "/"), images.point.astype(np.str_))


def _row_of(images: SeenImages, levels: Levels) -> npt.NDArray[np.intp]:
    keys = _keys(images)
    place = np.minimum(np.searchsorted(levels.keys, keys), len(levels.keys) - 1)
    return np.where(levels.keys[place] == keys, place, len(levels.keys))

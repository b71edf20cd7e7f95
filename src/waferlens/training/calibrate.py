"""Calibration: what the error of a normal image looks like, position by position. Held-out normals only.

Nothing here sees a defect. The images that calibrate are not those that the network was trained on, and the
scores that thresholds are derived from are *out of fold*: an image is scored with the statistics of the other
folds, because an image that helped to set a deviation can never be far from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from waferlens.errors import DataError
from waferlens.models.detector import Answer, Detector
from waferlens.models.error_map import ErrorMap
from waferlens.training.feed import Feed
from waferlens.training.moments import Moments
from waferlens.training.schedule import spread_evenly

_BATCH = 32
# A suspicion that varies less from normal image to normal image, in nats, counts in deviations of this: of a
# discriminator that learned nothing there would be left the rounding of the last digit. One that learned varies by
# 0.8 to 1.5.
_LEAST_SUSPICION_DEVIATION = 0.1
# How much farther, in deviations of normal images' peaks, a departure goes alone than with a suspicion to count as
# much: nobody knows what damage looks like that was not thought of, and it must not be excused for that.
_ALONE_HANDICAP = 1.0
# Up to this many images' maps are kept between passes, half a megabyte each; of more, the network is asked again.
_MOST_KEPT = 1_000


class CalibrationOptions(BaseModel, frozen=True, extra="forbid"):
    """How held-out normals become statistics."""

    num_folds: int = Field(10, ge=2, description="folds of the out-of-fold scores")
    max_images: int = Field(20_000, ge=2, description="held-out normals used; spread evenly over them")
    prior_images: float = Field(
        2.0, ge=0, description="weight, in images, of the pooled variance in each position's variance"
    )
    ring_prior_images: float = Field(
        0.0,
        ge=0,
        description="weight, in images, of the mean and variance of all positions equally far from the border",
    )
    variance_floor: float = Field(0.05, gt=0, description="smallest variance, as a share of the mean variance")


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was learned, and from how many images.

    scores: (n,) float64 out-of-fold scores of the held-out normals, in the order of ``indices``.
    reconstruction_errors: (n,) the case study's a(x) of the same images. latents: (n, 128) float32.
    """

    indices: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    reconstruction_errors: npt.NDArray[np.float64]
    latents: npt.NDArray[np.float32]


def _peaks(error_map: ErrorMap, batches: Iterable[Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of images' peaks, map by map, (M,) each; batches of M maps (B, 1, 256, 256)."""
    peak = torch.cat([torch.stack([error_map.peak(each) for each in maps], dim=1) for maps in batches])
    return peak.mean(dim=0), peak.std(dim=0).clamp(min=1e-6)


class _Balance:
    """What makes maps of several scales comparable: how far normal images' peaks go on each.

    A map on cells as they are has higher peaks than one of averages, by chance alone; where the larger of both
    counts, it would drown the other. A suspicion that ranges wider would do so in a mean. So every map is put on
    the scale of the first: its peaks over normal images get the first one's mean and deviation.
    """

    def __init__(self, location: Tensor, scale: Tensor, *, with_suspicion: bool) -> None:
        """location, scale: (M,), mean and deviation of the peaks of normal images by map, a suspicion's last."""
        self._stretch = (scale / scale[0]).view(1, -1, 1, 1)
        self._shift = location.view(1, -1, 1, 1) - location[0] * self._stretch
        self._least = torch.zeros_like(self._stretch)
        if with_suspicion:
            self._least[:, -1] = _LEAST_SUSPICION_DEVIATION

    @classmethod
    def of(cls, error_map: ErrorMap, out_of_fold: Iterator[tuple[Tensor, Tensor, Tensor]]) -> _Balance:
        """out_of_fold: smoothed errors of normal images, with the mean and deviation that hold for them."""
        location, scale = _peaks(
            error_map,
            (
                ((smoothed - mean) / deviation).chunk(error_map.num_maps, dim=1)
                for smoothed, mean, deviation in out_of_fold
            ),
        )
        return cls(location, scale, with_suspicion=error_map.with_suspicion)

    def applied(self, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation (1, M, 256, 256) of every position, such that the maps are comparable."""
        return mean + deviation * self._shift, torch.maximum(deviation * self._stretch, self._least)


def _weigh_alone(error_map: ErrorMap, out_of_fold: Iterator[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Put the departure alone on the scale of its mean with the maps beside, less its handicap."""
    location, scale = _peaks(error_map, (error_map.alone_and_together(*each) for each in out_of_fold))
    stretch = scale[1] / scale[0]
    error_map.alone_stretch.copy_(stretch)
    error_map.alone_shift.copy_(location[1] - (location[0] + _ALONE_HANDICAP * scale[0]) * stretch)


@torch.inference_mode()
def calibrate(
    detector: Detector, held_out: Feed, options: CalibrationOptions, distances: Tensor | None = None
) -> Calibration:
    """Learn the error statistics and the score's scale into ``detector.error_map``, in place.

    distances: (n, 1, 32, 32), of other normal images from a bank of features that does not hold them; where the
    detector has such a bank, they tell with the held-out ones what is a usual distance at each position.

    Raises DataError with fewer than four held-out normals: a deviation cannot be learned from less.
    """
    if len(held_out) < 4:
        raise DataError("too few held-out normals to calibrate", expected="4 or more", found=str(len(held_out)))
    indices = spread_evenly(len(held_out), options.max_images)
    error_map = detector.error_map
    folds = [Moments(error_map.error_mean) for _ in range(min(options.num_folds, len(indices)))]
    errors, latents = [], []
    kept: list[tuple[int, Tensor]] = []
    for fold, image, answer in _answered(detector, held_out, indices, len(folds)):
        smoothed = _smoothed_error(error_map, image, answer)
        folds[fold].add(smoothed)
        if len(indices) <= _MOST_KEPT:
            kept.append((fold, smoothed))
        errors.append(error_map.reconstruction_error(image, answer.reconstruction).double().cpu())
        latents.append(answer.latent.cpu())
    if distances is not None:
        for fold, moments in enumerate(folds):
            for part in torch.split(distances[fold :: len(folds)], _BATCH):
                moments.add(error_map.spread(part.to(error_map.roi)), error_map.distance_map)
    everyone = Moments(error_map.error_mean)
    for moments in folds:
        everyone.join(moments)

    def statistics(moments: Moments) -> tuple[Tensor, Tensor]:
        return moments.statistics(
            error_map,
            prior=options.prior_images,
            ring_prior=options.ring_prior_images,
            floor=options.variance_floor,
        )

    without = [statistics(everyone.without(fold)) for fold in folds]

    def again() -> Iterator[tuple[int, Tensor]]:
        if kept:
            yield from kept
        else:
            for fold, image, answer in _answered(detector, held_out, indices, len(folds)):
                yield fold, _smoothed_error(error_map, image, answer)

    def out_of_fold(balance: _Balance | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Smoothed errors, batch by batch, with the statistics of the folds that do not hold them."""
        for fold, smoothed in again():
            mean, deviation = without[fold] if balance is None else balance.applied(*without[fold])
            yield smoothed, mean, deviation

    # Where there are several maps, a pass tells how they compare; where some are beside the departure,
    # another how the mean of all compares to that alone. The last pass: the peak of every image.
    balance = None if error_map.num_maps == 1 else _Balance.of(error_map, out_of_fold(None))
    if error_map.with_suspicion:  # nobody is excused by a bank: what is far from all that is normal stays far
        _weigh_alone(error_map, out_of_fold(balance))
    peak = torch.cat([error_map.peak(error_map.heatmap(*each)).double().cpu() for each in out_of_fold(balance)])
    location, scale = peak.mean(), peak.std().clamp(min=1e-6)

    mean, deviation = statistics(everyone)
    if balance is not None:
        mean, deviation = balance.applied(mean, deviation)
    error_map.error_mean.copy_(mean)
    error_map.error_deviation.copy_(deviation)
    error_map.score_location.copy_(location)
    error_map.score_scale.copy_(scale)
    order = np.argsort(_fold_order(len(indices), len(folds)), kind="stable")
    return Calibration(
        indices=indices,
        scores=((peak - location) / scale).numpy()[order],
        reconstruction_errors=torch.cat(errors).numpy()[order],
        latents=torch.cat(latents).numpy()[order],
    )


def _fold_order(num_images: int, num_folds: int) -> npt.NDArray[np.int64]:
    """Positions in the order they are visited: fold by fold, image i in fold i modulo num_folds."""
    return np.concatenate([np.arange(fold, num_images, num_folds) for fold in range(num_folds)])


def _answered(
    detector: Detector, images: Feed, indices: npt.NDArray[np.int64], num_folds: int
) -> Iterator[tuple[int, Tensor, Answer]]:
    """(fold, image, what the network answers) batch by batch; a batch never mixes folds."""
    for fold in range(num_folds):
        members = indices[fold::num_folds]
        for start in range(0, len(members), _BATCH):
            image = images.take(members[start : start + _BATCH])
            yield fold, image, detector.answer(image)


def _smoothed_error(error_map: ErrorMap, image: Tensor, answer: Answer) -> Tensor:
    return error_map.smoothed_error(image, *answer.judged)

"""From a reconstruction to a heatmap and a score, calibrated on held-out normals.

Knows nothing of the network that reconstructed, nor of thresholds. What it learned (``fit`` lives in
``training.calibrate``) is, for every position, how large the error of a *normal* image is there and how much
that varies; a position where the network always struggles stops shouting.

    d(x)      = 2x2 box means of x - x_hat       camera noise averages out, a structure does not
    e(x)      = S @ (d(x)^2 / u) @ S.T           squared error over what is usual for its kind, smoothed
    heatmap   = (e - mean) / (deviation * c)     in deviations of normal images at that position
    peak      = mean of the most deviating 4x4 boxes of the heatmap
    score     = (peak - location) / scale        in deviations of normal images' peaks

A network that compares features gives one departure or several (at scales of its own) instead of d^2; each has its
own mean and deviation, and the heatmap is the largest of them at every pixel. Where a discriminator gives its
suspicion or a bank of features a distance, these are spread and set in deviations of their own. The heatmap is the
mean of departure and suspicion, then of that and the distance; or the departure alone, where that goes so far that
no discriminator may excuse it.
u is 1 unless ``UsualError`` told.
c is 1 but near the border, where what a network found rests on pixels that the image does not have.

The peak is a mean over about a hundred pixels (the area of one smoothing kernel) rather than the maximum: one
position where normals happened to vary little cannot win alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from waferlens.models.smoothing import gaussian_matrix, smooth
from waferlens.records import IMAGE_SIZE

_BOX = 4
_ERROR_BOX = 2
# A departure comes on cells of 8x8 pixels and is spread by no narrower a Gaussian.
_COARSE_BOX, _LEAST_COARSE_SIGMA = 8, 4.0
# Given to boxes outside the region of interest: none of them can be among the most deviating ones.
_OUTSIDE_ROI = -1e6
_NEVER = -1e6


class ErrorMapOptions(BaseModel, frozen=True, extra="forbid"):
    """How the pixel error is summarised. What is learned from normals is not here."""

    smoothing_sigma: float = Field(6.0, ge=1, le=64, description="of the Gaussian, pixels")
    peak_boxes: int = Field(
        6, ge=1, le=256, description="4x4 boxes of the heatmap, the most deviating, that make the score"
    )
    border_pixels: int = Field(32, ge=1, le=128, description="how far from the border caution reaches")
    border_caution: float = Field(
        0.0, ge=0, le=4, description="deviations count for less by up to this, falling evenly from the border on"
    )


class ErrorSummary(NamedTuple):
    """heatmap (B, 1, 256, 256) and score (B,) in deviations; reconstruction_error (B,), mean squared."""

    heatmap: Tensor
    score: Tensor
    reconstruction_error: Tensor


class ErrorMap(nn.Module):
    """Squared error to calibrated heatmap and score. Starts uncalibrated: mean 0, deviation 1.

    num_departures: how many the network gives; 1 also where the squared error of pixels is judged. num_maps: one
    more for the distance of a bank of features, and for the suspicion of a discriminator, judged beside.
    """

    smoothing: Tensor
    coarse_smoothing: Tensor
    caution: Tensor
    roi: Tensor
    error_mean: Tensor
    error_deviation: Tensor
    score_location: Tensor
    score_scale: Tensor
    alone_stretch: Tensor
    alone_shift: Tensor

    def __init__(
        self,
        options: ErrorMapOptions,
        num_departures: int = 1,
        *,
        with_distance: bool = False,
        with_suspicion: bool = False,
    ) -> None:
        super().__init__()
        self.options = options
        self.num_departures = num_departures
        self.with_suspicion = with_suspicion
        self.with_distance = with_distance
        self.num_beside = int(with_distance) + int(with_suspicion)
        self.num_maps = num_departures + self.num_beside
        shape = (1, 1, IMAGE_SIZE, IMAGE_SIZE)
        matrix = gaussian_matrix(options.smoothing_sigma, IMAGE_SIZE, box=_ERROR_BOX)
        self.register_buffer("smoothing", matrix, persistent=False)
        coarse = gaussian_matrix(max(options.smoothing_sigma, _LEAST_COARSE_SIGMA), IMAGE_SIZE, box=_COARSE_BOX)
        self.register_buffer("coarse_smoothing", coarse, persistent=False)
        self.register_buffer("caution", border_caution(options), persistent=False)
        self.register_buffer("roi", torch.ones(shape))
        self.register_buffer("error_mean", torch.zeros(1, self.num_maps, IMAGE_SIZE, IMAGE_SIZE))
        self.register_buffer("error_deviation", torch.ones(1, self.num_maps, IMAGE_SIZE, IMAGE_SIZE))
        self.register_buffer("score_location", torch.tensor(0.0))
        self.register_buffer("score_scale", torch.tensor(1.0))
        if self.num_beside:
            self.register_buffer("alone_stretch", torch.tensor(1.0))
            self.register_buffer("alone_shift", torch.tensor(_NEVER))

    def forward(
        self,
        image: Tensor,
        reconstruction: Tensor,
        departure: Tensor | None = None,
        usual: Tensor | None = None,
        distance: Tensor | None = None,
        suspicion: Tensor | None = None,
    ) -> ErrorSummary:
        """image, reconstruction: (B, 1, 256, 256) in [0, 1].

        departure: (B, M, 32, 32), how far a network that compares features finds them from those expected; the
        heatmap and the score are then made of it, the reconstruction error still of the pixels. usual: (B, M, 32,
        32), what the error judged is divided by. distance, suspicion: (B, 1, 32, 32), of a bank of features and of
        a discriminator.
        """
        difference = self._difference(image, reconstruction)
        raw = self._raw(difference, departure, usual, distance, suspicion)
        heatmap = self.heatmap(raw, self.error_mean, self.error_deviation)
        score = (self.peak(heatmap) - self.score_location) / self.score_scale
        return ErrorSummary(heatmap, score, self._mean_squared(difference))

    def reconstruction_error(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """The case study's a(x), (B,): mean squared error over the region of interest."""
        return self._mean_squared(self._difference(image, reconstruction))

    def _mean_squared(self, difference: Tensor) -> Tensor:
        return _squared(difference).mean(dim=1) / self.roi.mean()

    def smoothed_error(
        self,
        image: Tensor,
        reconstruction: Tensor,
        departure: Tensor | None = None,
        usual: Tensor | None = None,
        distance: Tensor | None = None,
        suspicion: Tensor | None = None,
    ) -> Tensor:
        """What calibration collects over normals: (B, M, 256, 256), not yet in deviations."""
        return self._raw(self._difference(image, reconstruction), departure, usual, distance, suspicion)

    def _raw(
        self, difference: Tensor, departure: Tensor | None, usual: Tensor | None, *beside: Tensor | None
    ) -> Tensor:
        error = self._smoothed(difference, usual) if departure is None else self.spread(departure, usual)
        maps = [error, *(self.spread(each) for each in beside if each is not None)]
        return error if len(maps) == 1 else torch.cat(maps, dim=1)

    def cells(self, image: Tensor, reconstruction: Tensor, departure: Tensor | None = None) -> Tensor:
        """The error judged, before anything is learned of it: means over cells of 8x8 pixels, (B, M, 32, 32)."""
        if departure is not None:
            return departure
        return F.avg_pool2d(self._boxes(self._difference(image, reconstruction)), _COARSE_BOX // _ERROR_BOX)

    def _difference(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Expected minus found, (B, 65536), zero outside the region of interest.

        Written for OpenVINO, where what comes out of a convolution keeps its channel-last layout and arithmetic on
        one channel then goes pixel by pixel, fifteen times slower: flat, and with the image as what is subtracted
        (a subtraction negates its second operand first).
        """
        return (reconstruction.flatten(1) - image.flatten(1)) * self.roi.flatten()

    def _boxes(self, difference: Tensor) -> Tensor:
        """Squared differences of 2x2 box means, (B, 1, 128, 128)."""
        return _squared(F.avg_pool2d(difference.view(-1, 1, IMAGE_SIZE, IMAGE_SIZE), _ERROR_BOX))

    def _smoothed(self, difference: Tensor, usual: Tensor | None) -> Tensor:
        boxes = self._boxes(difference)
        if usual is not None:
            boxes = boxes / F.interpolate(usual, scale_factor=_COARSE_BOX // _ERROR_BOX, mode="nearest")
        return smooth(boxes, self.smoothing)

    def spread(self, departure: Tensor, usual: Tensor | None = None) -> Tensor:
        """What cells (B, M, 32, 32) say, over the pixels (B, M, 256, 256), zero outside the region of interest."""
        judged = departure if usual is None else departure / usual
        return smooth(judged, self.coarse_smoothing) * self.roi

    def heatmap(self, smoothed: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Smoothed errors (B, M, 256, 256) in deviations of the normals there: (B, 1, 256, 256).

        The largest of the departures; with maps beside, a mean of all, or the departure alone if that is more.
        """
        alone, together = self.alone_and_together(smoothed, mean, deviation)
        if not self.num_beside:
            return alone
        return torch.maximum(together, alone * self.alone_stretch + self.alone_shift)

    def alone_and_together(self, smoothed: Tensor, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        """The largest of the departures, and its mean with the maps beside; the same twice without any.

        A distance counts as much as departure and suspicion together: there is one where these learned from few.
        """
        deviations = (smoothed - mean) / deviation
        departures = deviations[:, : self.num_departures]
        largest = departures if self.num_departures == 1 else departures.amax(dim=1, keepdim=True)
        together = (largest + deviations[:, -1:]) / 2 if self.with_suspicion else largest
        if self.with_distance:
            together = (together + deviations[:, self.distance_map]) / 2
        return largest, together

    @property
    def distance_map(self) -> slice:
        """Of the M maps, that of the distance of a bank of features."""
        return slice(self.num_departures, self.num_departures + int(self.with_distance))

    def peak(self, heatmap: Tensor) -> Tensor:
        """Mean deviation of the ``peak_boxes`` most deviating 4x4 boxes inside the region of interest, (B,).

        A box that the region cuts counts with its part inside; a region smaller than that many boxes counts
        with all it has.
        """
        share = F.avg_pool2d(self.roi, _BOX)
        boxes = F.avg_pool2d(heatmap * self.roi, _BOX) / share.clamp(min=1 / _BOX**2)
        judged = torch.where(share > 0, boxes, _OUTSIDE_ROI).flatten(1)
        largest = torch.topk(judged, self.options.peak_boxes, dim=1).values
        inside = (largest > 0.5 * _OUTSIDE_ROI).float()
        return (largest * inside).sum(dim=1) / inside.sum(dim=1)


def border_caution(options: ErrorMapOptions) -> Tensor:
    """c, (1, 1, 256, 256), 1 away from the border: calibration multiplies every deviation by it."""
    caution = 1 + options.border_caution * (1 - border_distance() / options.border_pixels).clamp(min=0)
    return caution.view(1, 1, IMAGE_SIZE, IMAGE_SIZE)


def border_distance() -> Tensor:
    """(256, 256): pixels from the centre of each position to the nearest border of the image, 0.5 at least."""
    pixel = torch.arange(IMAGE_SIZE) + 0.5
    nearest = torch.minimum(pixel, IMAGE_SIZE - pixel)
    return torch.minimum(nearest[:, None], nearest[None, :])


def _squared(x: Tensor) -> Tensor:
    return x * x  # not x.square(): OpenVINO computes that as a power, several times slower

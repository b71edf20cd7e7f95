"""The fab's present system (case study section 2): Gabor and local binary pattern features, one-class SVM.

Gives one score an image and no map: it cannot say where. Scores are put on the scale of held-out normals
(deviations from their mean), as those of the detectors are.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from scipy import fft
from skimage.feature import local_binary_pattern
from skimage.filters import gabor_kernel
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from waferlens.records import IMAGE_SIZE, FloatArray
from waferlens.training.feed import Feed
from waferlens.training.schedule import spread_evenly


class TextureOptions(BaseModel, frozen=True, extra="forbid"):
    """Filters, patterns and the SVM."""

    frequencies: tuple[float, ...] = (0.05, 0.1, 0.2, 0.35)
    """Of the Gabor filters, cycles per pixel."""
    num_orientations: int = Field(4, ge=1, description="of the Gabor filters, evenly over 180 degrees")
    pattern_radii: tuple[int, ...] = (1, 2)
    """Of the local binary patterns, pixels; each with 8 neighbours per unit of radius."""
    nu: float = Field(0.05, gt=0, lt=1, description="share of training images that may lie outside")
    max_images: int = Field(5_000, ge=10, description="training images used; the SVM's cost is quadratic")


@dataclass(frozen=True, kw_only=True)
class TextureModel:
    """A fitted one-class SVM and the scale of its score on held-out normals."""

    options: TextureOptions
    pipeline: Pipeline
    location: float
    scale: float

    def scores(self, images: FloatArray) -> npt.NDArray[np.float64]:
        """images: (n, 256, 256) in [0, 1], normalised. Returns (n,), higher is more anomalous."""
        distance = -self.pipeline.decision_function(texture_features(images, self.options))
        return np.asarray((distance - self.location) / self.scale, dtype=np.float64)


def fit_texture(training: Feed, held_out: Feed, options: TextureOptions) -> TextureModel:
    """Fit on training normals, put the score on the scale of held-out normals."""
    pipeline = make_pipeline(StandardScaler(), OneClassSVM(nu=options.nu, gamma="scale"))
    pipeline.fit(_features_of(training, options))
    distance = -pipeline.decision_function(_features_of(held_out, options))
    scale = float(distance.std(ddof=1)) if len(distance) > 1 else 1.0
    return TextureModel(
        options=options, pipeline=pipeline, location=float(distance.mean()), scale=max(scale, 1e-12)
    )


def texture_features(images: FloatArray, options: TextureOptions) -> npt.NDArray[np.float64]:
    """(n, 256, 256) to (n, F): mean and deviation of each Gabor magnitude, then histograms of uniform patterns."""
    bank = _filter_bank(options)
    return np.stack([np.concatenate([_gabor(image, bank), _patterns(image, options)]) for image in images])


def _features_of(feed: Feed, options: TextureOptions) -> npt.NDArray[np.float64]:
    indices = spread_evenly(len(feed), options.max_images)
    parts = np.array_split(indices, max(1, len(indices) // 64))
    return np.concatenate([texture_features(feed.take(part)[:, 0].cpu().numpy(), options) for part in parts])


def _filter_bank(options: TextureOptions) -> npt.NDArray[np.complex64]:
    """Transfer functions of the Gabor filters, (filters, 256, 256): filtering is a product in frequency."""
    bank = []
    for frequency in options.frequencies:
        for orientation in range(options.num_orientations):
            kernel = gabor_kernel(frequency, theta=np.pi * orientation / options.num_orientations)
            placed = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.complex64)
            cropped = kernel[:IMAGE_SIZE, :IMAGE_SIZE]
            placed[: cropped.shape[0], : cropped.shape[1]] = cropped - cropped.mean()
            bank.append(fft.fft2(placed))
    return np.stack(bank).astype(np.complex64)


def _gabor(image: FloatArray, bank: npt.NDArray[np.complex64]) -> npt.NDArray[np.float64]:
    magnitude = np.abs(fft.ifft2(fft.fft2(image) * bank, axes=(1, 2)))
    return np.concatenate([magnitude.mean(axis=(1, 2)), magnitude.std(axis=(1, 2))]).astype(np.float64)


def _patterns(image: FloatArray, options: TextureOptions) -> npt.NDArray[np.float64]:
    grey = (image * 255).astype(np.uint8)
    histograms = []
    for radius in options.pattern_radii:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patterns = local_binary_pattern(grey, 8 * radius, radius, method="uniform")
        histograms.append(np.bincount(patterns.astype(np.int64).ravel(), minlength=8 * radius + 2) / grey.size)
    return np.concatenate(histograms)

"""What the training normals look like at each position, and how far one image lies from them.

Everything here comes from training images alone, so measuring a test image against it chooses nothing
on the test set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from waferlens.errors import MetricError
from waferlens.evaluation.scored import Scores
from waferlens.records import IMAGE_SIZE, FloatArray

SMALLEST_STD = 1 / 255
"""One grey level of an 8-bit camera: where normals vary less, a departure is measured in grey levels."""

THUMBNAIL_SIZE = 32
"""Side of the block-averaged images in which neighbours are sought, pixels."""

MAX_THUMBNAILS = 512


@dataclass(frozen=True, kw_only=True)
class NormalReference:
    """Position-wise mean and deviation of the normals, and what single normals look like.

    mean_image, std_image: (256, 256) float32. means, stds: (N,) of each image. thumbnails: (M, 1024), at
    most 512 images. spacing: (M,) distance of each thumbnail to its nearest other, ascending.
    """

    mean_image: FloatArray
    std_image: FloatArray
    means: Scores
    stds: Scores
    thumbnails: FloatArray
    spacing: Scores

    @classmethod
    def from_images(cls, images: FloatArray, *, seed: int = 0) -> NormalReference:
        """Learn from (N, 256, 256) normal images, N >= 1; reads each image once."""
        if not len(images):
            raise MetricError("a reference needs normal images", expected="at least one", found="none")
        total = np.zeros((IMAGE_SIZE, IMAGE_SIZE))
        squares = np.zeros_like(total)
        means, stds = np.empty(len(images)), np.empty(len(images))
        for index, image in enumerate(images):
            values = np.asarray(image, dtype=np.float64)
            total += values
            squares += values**2
            means[index], stds[index] = values.mean(), values.std()
        mean = total / len(images)
        variance = np.maximum(squares / len(images) - mean**2, 0)
        chosen = sample_indices(len(images), MAX_THUMBNAILS, seed)
        thumbnails = np.stack([thumbnail(images[index]) for index in chosen])
        return cls(
            mean_image=mean.astype(np.float32),
            std_image=np.sqrt(variance).astype(np.float32),
            means=means,
            stds=stds,
            thumbnails=thumbnails,
            spacing=nearest_distances(thumbnails),
        )

    def standardise(self, image: FloatArray) -> FloatArray:
        """(..., 256, 256): departure from the mean image in normal standard deviations per position."""
        spread = np.maximum(self.std_image, SMALLEST_STD)
        return np.asarray((image - self.mean_image) / spread, dtype=np.float32)

    def unusualness(self, image: FloatArray) -> float:
        """Share of training normals that lie nearer to their nearest neighbour than this image to its own.

        In [0, 1]; NaN with fewer than two training images.
        """
        if len(self.thumbnails) < 2:
            return float("nan")
        distance = float(cdist(thumbnail(image)[None], self.thumbnails).min())
        return float(np.searchsorted(self.spacing, distance, side="left") / len(self.spacing))


def thumbnail(image: FloatArray) -> FloatArray:
    """(256, 256) block-averaged to 32 x 32 and flattened to (1024,)."""
    block = IMAGE_SIZE // THUMBNAIL_SIZE
    blocks = np.asarray(image, dtype=np.float32).reshape(THUMBNAIL_SIZE, block, THUMBNAIL_SIZE, block)
    small: FloatArray = blocks.mean(axis=(1, 3)).ravel()
    return small


def nearest_distances(vectors: FloatArray) -> Scores:
    """Euclidean distance of each row of (M, D) to its nearest other row, ascending; infinite for M = 1."""
    distances = cdist(vectors, vectors)
    np.fill_diagonal(distances, np.inf)
    nearest: Scores = np.sort(distances.min(axis=1))
    return nearest


def sample_indices(n: int, limit: int, seed: int) -> npt.NDArray[np.intp]:
    """At most ``limit`` of range(n), random by seed, ascending."""
    if n <= limit:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size=limit, replace=False))

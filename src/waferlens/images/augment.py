"""Small, plausible variations of normal images for training: what a stage, a lamp and a camera vary by
themselves.

Legend: B batch, H = W = 256. Drawing the parameters (``sample_augmentations``) is apart from applying them,
so that a training loop may apply them on its own device: ``matrices`` are what ``affine_grid`` and
``grid_sample`` of the usual tensor libraries take (bilinear, reflection at the border, corners not
aligned). ``augment`` is the numpy path. Knows nothing of which augmentation suits a product;
``docs/data.md`` argues that and recipes choose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from waferlens.records import FloatArray

Flip = bool | Literal["auto"]
"""``"auto"`` is for training to decide (``training.mirrors``); until it has, nothing is mirrored."""


class AugmentationOptions(BaseModel, frozen=True, extra="forbid"):
    """How far an image is varied. The defaults suit patterned wafers: no flips, no large rotation."""

    rotation_degrees: float = Field(
        default=1.0, ge=0.0, le=180.0, description="uniform in +- this, degrees about the centre"
    )
    shift_pixels: float = Field(default=2.0, ge=0.0, le=64.0, description="uniform in +- this, pixels, each axis")
    horizontal_flip: Flip = Field(
        default=False, description='mirror left and right in half of the images; "auto": where that is as normal'
    )
    vertical_flip: Flip = Field(
        default=False, description='mirror top and bottom in half of the images; "auto": where that is as normal'
    )
    noise_sigma: float = Field(
        default=0.01, ge=0.0, le=0.5, description="standard deviation of Gaussian noise, share of full scale"
    )
    gain: float = Field(default=0.05, ge=0.0, lt=1.0, description="factor uniform in 1 +- this")
    offset: float = Field(
        default=0.02, ge=0.0, le=0.5, description="added value uniform in +- this, share of full scale"
    )


@dataclass(frozen=True, kw_only=True)
class Augmentations:
    """What was drawn for one batch.

    matrices: (B, 2, 3) float32, from output to input positions (x, y) in [-1, 1], where -1 and 1 are the
    outer edges of the outer pixels. gain, offset: (B,) float32; values become ``clip(gain * x + offset +
    noise, 0, 1)``.
    """

    matrices: FloatArray
    gain: FloatArray
    offset: FloatArray
    noise_sigma: float


def sample_augmentations(
    options: AugmentationOptions, num_images: int, rng: np.random.Generator, *, side: int = 256
) -> Augmentations:
    """Draw the parameters of ``num_images`` images of ``side`` pixels."""
    angle = np.deg2rad(options.rotation_degrees) * rng.uniform(-1.0, 1.0, num_images)
    shift = options.shift_pixels * rng.uniform(-1.0, 1.0, (num_images, 2)) * (2.0 / side)
    mirror = np.where(rng.random((num_images, 2)) < 0.5, -1.0, 1.0)
    mirror[:, 0] = mirror[:, 0] if options.horizontal_flip is True else 1.0
    mirror[:, 1] = mirror[:, 1] if options.vertical_flip is True else 1.0
    cos, sin = np.cos(angle), np.sin(angle)
    rows = np.stack(
        [
            np.stack([cos * mirror[:, 0], -sin * mirror[:, 1], shift[:, 0]], axis=1),
            np.stack([sin * mirror[:, 0], cos * mirror[:, 1], shift[:, 1]], axis=1),
        ],
        axis=1,
    )
    return Augmentations(
        matrices=rows.astype(np.float32),
        gain=(1.0 + options.gain * rng.uniform(-1.0, 1.0, num_images)).astype(np.float32),
        offset=(options.offset * rng.uniform(-1.0, 1.0, num_images)).astype(np.float32),
        noise_sigma=options.noise_sigma,
    )


def augment(
    batch: FloatArray,
    options: AugmentationOptions,
    rng: np.random.Generator,
    *,
    out: FloatArray | None = None,
) -> FloatArray:
    """A varied copy of ``batch``, (B, 1, H, H) float32 in [0, 1], written to ``out`` when given.

    The same generator state gives the same result.
    """
    drawn = sample_augmentations(options, len(batch), rng, side=batch.shape[-1])
    out = np.empty_like(batch) if out is None else out
    warp = _Warp(batch.shape[-1])
    noise = _noise_pool(drawn.noise_sigma, batch.shape[-1], rng)
    for image, target, matrix, gain, offset in zip(
        batch[:, 0], out[:, 0], drawn.matrices, drawn.gain, drawn.offset, strict=True
    ):
        warp(image, matrix, target)
        target *= gain
        target += offset
        if noise.size:
            start = int(rng.integers(noise.size - target.size + 1))
            target += noise[start : start + target.size].reshape(target.shape)
        np.clip(target, 0.0, 1.0, out=target)
    return out


def _noise_pool(sigma: float, side: int, rng: np.random.Generator) -> FloatArray:
    """Noise for one batch, twice the size of an image; each image adds a window of it that begins anywhere.

    Drawing normal numbers costs several times what everything else does. Two images of a batch may share a
    stretch of noise, but at different places, which no network can use.
    """
    if sigma == 0.0:
        return np.empty(0, np.float32)
    pool = rng.standard_normal(2 * side * side, dtype=np.float32)
    pool *= sigma
    return pool


class _Warp:
    """Bilinear resampling of one square image at a time, in buffers that are made once a batch."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.centres = (2.0 * np.arange(side) + 1.0) / side - 1.0  # x (or y) of pixel centres in [-1, 1]
        self.x, self.y, self.left, self.top = (np.empty((side, side), np.float32) for _ in range(4))
        self.corner, self.other, self.upper = (np.empty((side, side), np.float32) for _ in range(3))
        self.index = np.empty((side, side), np.intp)

    def __call__(self, image: FloatArray, matrix: FloatArray, out: FloatArray) -> None:
        """Write ``image`` seen through ``matrix`` to ``out``, both (H, H)."""
        if np.array_equal(matrix, np.eye(2, 3)):
            out[...] = image
            return
        margin = self._positions(matrix.astype(np.float64))
        padded = np.pad(image, margin, mode="symmetric")
        width = padded.shape[1]
        np.floor(self.x, out=self.left)
        np.floor(self.y, out=self.top)
        self.x -= self.left
        self.y -= self.top
        self.top *= width  # exact: below 2**24
        self.top += self.left
        np.copyto(self.index, self.top, casting="unsafe")
        flat = padded.ravel()
        self._row(flat, self.upper)
        self._row(flat[width:], out)
        out -= self.upper
        out *= self.y
        out += self.upper

    def _positions(self, matrix: npt.NDArray[np.float64]) -> int:
        """Fill x and y with input positions in pixels of the padded image; returns the padding it takes."""
        scale = self.side / 2.0
        margin = 2 + int(np.ceil(scale * max(np.abs(matrix[:, :2]).sum(axis=1) + np.abs(matrix[:, 2])) - scale))
        for row, target in zip(matrix, (self.x, self.y), strict=True):
            along_x = (scale * row[0] * self.centres).astype(np.float32)
            along_y = scale * (row[1] * self.centres + row[2] + 1.0) - 0.5 + margin
            np.add(along_y.astype(np.float32)[:, None], along_x, out=target)
        return margin

    def _row(self, flat: FloatArray, out: FloatArray) -> None:
        """Interpolate along x: ``out = p[i] + x * (p[i + 1] - p[i])``."""
        np.take(flat, self.index, out=out, mode="clip")
        np.take(flat[1:], self.index, out=self.other, mode="clip")
        self.other -= out
        self.other *= self.x
        out += self.other

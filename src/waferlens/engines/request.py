"""One image on its way through a pool, and the arrays that a caller may hand in."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from waferlens.engines.interface import AnyPixels, Outputs
from waferlens.errors import EngineError
from waferlens.records import IMAGE_SIZE, Inference, Pixels


@dataclass(frozen=True)
class Request:
    """Canonical pixels (256, 256), a time of ``time.monotonic`` to be done by, and the answer to come."""

    pixels: Pixels
    deadline: float
    answer: Future[Inference] = field(default_factory=Future)


def canonical(pixels: AnyPixels) -> Pixels:
    """Any accepted image as canonical pixels; float32 becomes uint16, whose steps are finer than any camera's.

    The float32 of an 8- or 16-bit image gives the same model input as the image itself, bit for bit.
    Raises EngineError for another shape or type, and for numbers outside [0, 1].
    """
    if pixels.shape != (IMAGE_SIZE, IMAGE_SIZE) or pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise EngineError(
            "an engine cannot take this array",
            expected=f"({IMAGE_SIZE}, {IMAGE_SIZE}) uint8, uint16 or float32",
            found=f"{pixels.shape} {pixels.dtype}",
        )
    if pixels.dtype != np.float32:
        return cast(Pixels, pixels)
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):  # written so that NaN fails it
        raise EngineError(
            "an engine cannot take this array", expected="values in [0, 1]", found=f"{low} to {high}"
        )
    return np.rint(pixels.astype(np.float64) * 65535).astype(np.uint16)


def stack(images: Sequence[Pixels]) -> Pixels:
    """(B, 256, 256). Where 8 and 16 bit meet, 8 bit is stretched, which changes no model input."""
    if len({image.dtype for image in images}) > 1:
        images = [
            image if image.dtype == np.uint16 else image.astype(np.uint16) * np.uint16(257) for image in images
        ]
    return cast(Pixels, np.stack(images))


def unstack(outputs: Outputs, num_images: int, model_version: str) -> list[Inference]:
    """One inference an image; the arrays of a batch are copied, so that no answer keeps its neighbours in memory.

    Raises EngineError when the engine answered for another number of images.
    """
    if any(len(output) != num_images for output in outputs):
        raise EngineError(
            "an engine answered for another batch",
            expected=f"{num_images} images",
            found=", ".join(str(len(output)) for output in outputs),
        )
    own = np.copy if num_images > 1 else np.asarray
    return [
        Inference(
            reconstruction=own(outputs.reconstruction[index, 0]),
            heatmap=own(outputs.heatmap[index, 0]),
            score=float(outputs.score[index]),
            reconstruction_error=float(outputs.reconstruction_error[index]),
            latent=own(outputs.latent[index]),
            model_version=model_version,
        )
        for index in range(num_images)
    ]

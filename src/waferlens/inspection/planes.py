"""What a screen needs of one inspection, as plain planes of numbers that the browser itself colours and windows.

image      (256, 256) grey, as it was inspected; 16 bit travel as two bytes, red the higher and green the lower one
deviation  (256, 256) grey, the place on the bundle's fixed colour scale: 0 is its first colour, 255 its last
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from waferlens.inspection.heatmap import HeatScale, heat_to_rgb
from waferlens.inspection.pictures import HEAT_LEFT, HEAT_TOP, png_bytes
from waferlens.records import IMAGE_SIZE, Pixels

_STEPS = 1024


def image_plane(pixels: Pixels) -> tuple[bytes, int]:
    """Canonical pixels as a PNG file, and how many bits they have: 8 or 16."""
    if pixels.dtype == np.uint8:
        return png_bytes(Image.fromarray(pixels)), 8
    wide = pixels.astype(np.uint16)
    split = np.stack([wide >> 8, wide & 255, np.zeros_like(wide)], axis=-1).astype(np.uint8)
    return png_bytes(Image.fromarray(split)), 16


def small_plane(pixels: Pixels) -> bytes:
    """Canonical pixels as a PNG file of half the width and height, 8 bit grey."""
    grey = pixels.astype(np.float32) * (255 / np.iinfo(pixels.dtype).max)
    halved = grey.reshape(IMAGE_SIZE // 2, 2, IMAGE_SIZE // 2, 2).mean(axis=(1, 3))
    return png_bytes(Image.fromarray((halved + 0.5).astype(np.uint8)))


def deviation_plane(heatmap_png: bytes) -> bytes:
    """The drawn heatmap without its legend, its colours taken back to their places on the scale."""
    left, top = HEAT_LEFT, HEAT_TOP
    with Image.open(io.BytesIO(heatmap_png)) as sheet:
        drawn = np.asarray(sheet.convert("RGB").crop((left, top, left + IMAGE_SIZE, top + IMAGE_SIZE)))
    ramp = np.linspace(0.0, 1.0, _STEPS, dtype=np.float32)[None]
    colours = _packed(heat_to_rgb(ramp, HeatScale(top=1.0))[0])
    order = np.argsort(colours, kind="stable")
    found = np.searchsorted(colours[order], _packed(drawn).ravel())
    steps = order[np.clip(found, 0, _STEPS - 1)].reshape(drawn.shape[:2])
    return png_bytes(Image.fromarray((steps * (255 / (_STEPS - 1)) + 0.5).astype(np.uint8)))


def _packed(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    wide = colours.astype(np.int64)
    packed: npt.NDArray[np.int64] = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed

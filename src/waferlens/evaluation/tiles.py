"""Image tiles: grey images, heatmaps and mask outlines, side by side, as inline JPEG pictures.

A tile is (256, 256); a strip or grid is shrunk for the page. Grey values are shown on one scale, 0 black
to 1 white, unless a scale is given; heatmaps of one method share a scale, so that they can be compared.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image
from scipy.ndimage import binary_dilation

from waferlens.evaluation.figures import Picture
from waferlens.evaluation.scored import BoolArray, ScoredImages
from waferlens.records import IMAGE_SIZE, FloatArray

RgbTile = npt.NDArray[np.uint8]
"""(256, 256, 3) uint8."""

GAP_PX = 6
OUTLINE_RGB = (0, 214, 255)
"""Cyan: stands out on grey and on the heat colours alike."""


def grey_tile(image: FloatArray, low: float = 0.0, high: float = 1.0) -> RgbTile:
    """Grey values from low (black) to high (white)."""
    scaled = np.clip((np.asarray(image) - low) / max(high - low, 1e-12), 0, 1)
    return np.repeat(np.rint(scaled * 255).astype(np.uint8)[..., None], 3, axis=-1)


def heat_tile(heatmap: FloatArray, low: float, high: float) -> RgbTile:
    """Heat colours, dark at or below low and bright at or above high."""
    scaled = np.clip((np.asarray(heatmap) - low) / max(high - low, 1e-12), 0, 1)
    coloured: RgbTile = (colormaps["inferno"](scaled)[..., :3] * 255).astype(np.uint8)
    return coloured


def outlined(tile: RgbTile, mask: BoolArray) -> RgbTile:
    """The tile with a two-pixel line just outside the mask."""
    line = binary_dilation(mask, iterations=2) & ~mask
    drawn = tile.copy()
    drawn[line] = OUTLINE_RGB
    return drawn


def absent_tile() -> RgbTile:
    """A hatched tile where a method has nothing to show."""
    rows, columns = np.indices((IMAGE_SIZE, IMAGE_SIZE))
    hatched = np.where((rows + columns) % 32 < 2, 205, 238).astype(np.uint8)
    return np.repeat(hatched[..., None], 3, axis=-1)


def heat_scale(scored: ScoredImages) -> tuple[float, float]:
    """(median, 99.95 % quantile) of the heatmaps of normal images: bright is beyond what normals show."""
    if scored.heatmaps is None:
        return 0.0, 1.0
    shown = np.flatnonzero(~scored.defective)
    if not shown.size:
        shown = np.arange(scored.num_images)
    # Every fourth pixel of at most 200 images places a display scale well enough.
    sample = np.stack([scored.heatmaps[index][::4, ::4] for index in shown[:200]])
    low, high = np.quantile(sample, [0.5, 0.9995])
    return float(low), float(high)


def case_strip(scored: ScoredImages, index: int, scale: tuple[float, float]) -> Picture:
    """image | reconstruction | heatmap | image with the mask outlined, for one scored image."""
    image, mask = grey_tile(scored.images[index]), np.asarray(scored.masks[index])
    reconstruction = absent_tile() if scored.reconstructions is None else grey_tile(scored.reconstructions[index])
    heat = absent_tile() if scored.heatmaps is None else heat_tile(scored.heatmaps[index], *scale)
    masked = outlined(image, mask) if scored.has_mask[index] else absent_tile()
    alt = f"{scored.names[index]}: image, reconstruction, heatmap and mask"
    return tile_grid([image, reconstruction, heat, masked], columns=4, tile_px=150, alt=alt)


def tile_grid(tiles: Sequence[RgbTile], *, columns: int, tile_px: int, alt: str, caption: str = "") -> Picture:
    """Tiles row by row on white, each shrunk to tile_px, as a JPEG."""
    rows = -(-len(tiles) // columns)
    step = tile_px + GAP_PX
    sheet = Image.new("RGB", (columns * step - GAP_PX, rows * step - GAP_PX), "white")
    for number, tile in enumerate(tiles):
        small = Image.fromarray(tile).resize((tile_px, tile_px), Image.Resampling.LANCZOS)
        sheet.paste(small, (number % columns * step, number // columns * step))
    buffer = io.BytesIO()
    # 4:4:4 keeps the thin coloured outlines from smearing.
    sheet.save(buffer, format="JPEG", quality=85, subsampling=0, optimize=True)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(uri=uri, alt=alt, caption=caption)

"""The PNG files of one inspection: the heatmap with its scale, and what was expected. Quick enough to keep up.

The legend never changes for a bundle, so it is drawn once; colours come from a table of 1,024 steps of
the fixed scale. ``heatmap`` says what the colours mean.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from waferlens.inspection.heatmap import HeatScale, draw_scale, heat_to_rgb, with_levels_of
from waferlens.records import IMAGE_SIZE, FloatArray, Inference, Pixels

_STEPS = 1024
_OWN_STRATEGY = -1  # Pillow chooses
_RUN_LENGTHS = 3  # zlib's Z_RLE: a third of the time for a tenth more bytes
HEAT_LEFT, HEAT_TOP = 8, 14  # of the heatmap on its sheet
_LEGEND = 140


class PictureMaker:
    """Draws for one bundle."""

    def __init__(self, scale: HeatScale) -> None:
        self._scale = scale
        ramp = np.linspace(0.0, scale.top, _STEPS, dtype=np.float32)[None]
        self._colours = heat_to_rgb(ramp, scale)[0]
        sheet = Image.new("RGB", (IMAGE_SIZE + _LEGEND, IMAGE_SIZE + 2 * HEAT_TOP), (255, 255, 255))
        draw_scale(sheet, scale, left=HEAT_LEFT + IMAGE_SIZE + 8, top=HEAT_TOP)
        ImageDraw.Draw(sheet).text((HEAT_LEFT, 1), "deviations of normal images", fill=(32, 36, 44))
        self._sheet = np.asarray(sheet)

    def heatmap_png(self, heatmap: FloatArray) -> bytes:
        """(256, 256) deviations in the bundle's fixed colours, with the scale beside them."""
        place = np.clip(heatmap * ((_STEPS - 1) / self._scale.top), 0, _STEPS - 1)
        sheet = self._sheet.copy()
        steps = np.nan_to_num(place, nan=_STEPS - 1).astype(np.uint16)
        sheet[HEAT_TOP : HEAT_TOP + IMAGE_SIZE, HEAT_LEFT : HEAT_LEFT + IMAGE_SIZE] = np.take(
            self._colours, steps, axis=0
        )
        return png_bytes(Image.fromarray(sheet), _RUN_LENGTHS)

    def reconstruction_png(self, inference: Inference, pixels: Pixels) -> bytes:
        """What was expected, 8 bit grey, with brightness and contrast of the image (256, 256)."""
        image = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
        levelled = with_levels_of(inference.reconstruction, image)
        drawn = (np.clip(levelled, 0, 1) * 255 + 0.5).astype(np.uint8)
        return png_bytes(Image.fromarray(drawn), _RUN_LENGTHS)


def png_bytes(image: Image.Image, strategy: int = _OWN_STRATEGY) -> bytes:
    """A PNG file, made quickly. strategy: of zlib."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, compress_type=strategy)
    return file.getvalue()

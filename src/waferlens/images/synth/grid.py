"""The picture of the synthetic fab that the README shows: every family, normal and with every kind of defect.

Made again by: python -m waferlens.images.synth.grid docs/img/synthetic-fab.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from waferlens.images.synth.defects import DefectKind, DefectSpec
from waferlens.images.synth.fab import SyntheticFab, SyntheticImage
from waferlens.records import IMAGE_SIZE

_TILE = 168
_GAP = 6
_LEFT, _TOP = 74, 30
_PAPER, _INK = (250, 250, 248), (60, 60, 64)
_CONTOUR = (255, 176, 32)
_CONTOUR_GAP_PX = 5


def render_grid(out: Path, *, seed: int = 0) -> Path:
    """Draw the grid as a PNG below one megabyte and return its path.

    One row a family; the first column is normal, the others show one kind each at the geometric mean of its sizes
    and three quarters up its range of contrasts, cut out at one to one around the defect, whose exact mask is
    outlined.
    """
    fab = SyntheticFab(seed=seed)
    families = fab.options.families
    width = _LEFT + (1 + len(DefectKind)) * (_TILE + _GAP)
    sheet = Image.new("RGB", (width, _TOP + len(families) * (_TILE + _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for row, family in enumerate(families):
        top = _TOP + row * (_TILE + _GAP)
        draw.text((_LEFT - 10, top + _TILE / 2), family, fill=_INK, font=font, anchor="rm")
        for column, kind in enumerate((None, *DefectKind)):
            left = _LEFT + column * (_TILE + _GAP)
            sheet.paste(_tile(_example(fab, row, column, kind)), (left, top))
    for column, title in enumerate(("normal", *DefectKind)):
        centre = _LEFT + column * (_TILE + _GAP) + _TILE / 2
        draw.text((centre, _TOP / 2), title.replace("_", " "), fill=_INK, font=font, anchor="mm")
    out.parent.mkdir(parents=True, exist_ok=True)
    # A palette is a third of the bytes; the noise hides the steps between its greys.
    sheet.quantize(palette=_palette(), dither=Image.Dither.NONE).save(out, optimize=True)
    return out


def _palette() -> Image.Image:
    """84 greys and the contour's colour."""
    greys = [level for grey in range(0, 252, 3) for level in (grey, grey, grey)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*greys, *_CONTOUR])
    return palette


def _example(fab: SyntheticFab, site: int, column: int, kind: DefectKind | None) -> SyntheticImage:
    num_sites = len(fab.options.families)
    wafer, point = column, site + num_sites * (5 * column + 3)
    if kind is None:
        return fab.render(wafer, point)
    limits = fab.options.defects.range_of(kind)
    low, high = limits.contrast
    size_um = float(np.sqrt(limits.size_um[0] * limits.size_um[1]))
    return fab.render(wafer, point, DefectSpec(kind=kind, size_um=size_um, contrast=low + 0.75 * (high - low)))


def _tile(image: SyntheticImage) -> Image.Image:
    """(_TILE, _TILE) cut-out around the defect, its mask outlined a few pixels off so that it stays visible."""
    rgb = np.repeat(image.pixels[:, :, None], 3, axis=2)
    reach = ndimage.binary_dilation(image.mask, iterations=_CONTOUR_GAP_PX)
    rgb[ndimage.binary_dilation(reach) & ~reach] = _CONTOUR
    top, left = _corner(image.mask)
    return Image.fromarray(rgb[top : top + _TILE, left : left + _TILE])


def _corner(mask: npt.NDArray[Any]) -> tuple[int, int]:
    centre = ndimage.center_of_mass(mask) if mask.any() else (IMAGE_SIZE / 2, IMAGE_SIZE / 2)
    top, left = (int(np.clip(middle - _TILE / 2, 0, IMAGE_SIZE - _TILE)) for middle in centre)
    return top, left


if __name__ == "__main__":
    render_grid(Path(sys.argv[1]))

"""What the design draws at each site of a die: four pattern families, as distance fields. Knows no wafer.

All dies of a product carry the same design, so a site is drawn once and every image of it samples the same
fields. Sizes are in pixels of PIXEL_UM micrometres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from waferlens.images.synth.fields import Stream, generator
from waferlens.images.synth.shapes import Canvas
from waferlens.records import IMAGE_SIZE, FloatArray

PIXEL_UM = 0.1
"""Side of one pixel on the wafer in micrometres; a 256 px image shows 25.6 x 25.6 um."""

MARGIN_PX = 64
"""The design is drawn this far beyond the image on every side, so that stage jitter never runs out of pattern."""

DESIGN_SIZE = IMAGE_SIZE + 2 * MARGIN_PX


class Family(StrEnum):
    """The kinds of pattern that lines of a fab look at."""

    GRATING = "grating"
    CONTACT = "contact"
    CELL = "cell"
    LOGIC = "logic"


@dataclass(frozen=True, kw_only=True)
class Materials:
    """Reflectances in [0, 1] of the surfaces, and what an edge adds (a negative rim is a dark one)."""

    substrate: float
    lower: float
    upper: float
    lower_rim: float
    upper_rim: float


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """The design of one site.

    upper, lower: distance fields (DESIGN_SIZE, DESIGN_SIZE) float32 in px of the layer being inspected and of the
    one below it. pitch_px: repeat of the upper layer in x and y; 0 where moving along that axis changes nothing.
    """

    family: Family
    upper: FloatArray
    lower: FloatArray
    pitch_px: tuple[float, float]
    materials: Materials


def draw_pattern(family: Family, variant: int, design_seed: int) -> Pattern:
    """Draw the design of the variant-th site of that family."""
    rng = generator(design_seed, Stream.DESIGN, list(Family).index(family), variant)
    painters: dict[Family, Callable[[np.random.Generator], Pattern]] = {
        Family.GRATING: _draw_grating,
        Family.CONTACT: _draw_contacts,
        Family.CELL: _draw_cells,
        Family.LOGIC: _draw_logic,
    }
    return painters[family](rng)


def _draw_grating(rng: np.random.Generator) -> Pattern:
    """Vertical lines, a few of them ending at a gap, over wide horizontal lines."""
    pitch = float(rng.uniform(13.0, 16.0))
    width = pitch * float(rng.uniform(0.46, 0.54))
    upper, lower = Canvas(DESIGN_SIZE), Canvas(DESIGN_SIZE)
    for left in np.arange(rng.uniform(0.0, pitch), DESIGN_SIZE, pitch):
        if rng.random() < 0.16:
            gap = float(rng.uniform(0.25, 0.75)) * DESIGN_SIZE
            upper.box(left, -20.0, left + width, gap - 6.0)
            upper.box(left, gap + 6.0, left + width, DESIGN_SIZE + 20.0)
        else:
            upper.box(left, -20.0, left + width, DESIGN_SIZE + 20.0)
    _horizontal_lines(lower, rng, pitch=46.0, width=19.0)
    materials = Materials(substrate=0.25, lower=0.34, upper=0.68, lower_rim=-0.03, upper_rim=-0.12)
    return Pattern(
        family=Family.GRATING, upper=upper.field, lower=lower.field, pitch_px=(pitch, 0.0), materials=materials
    )


def _draw_contacts(rng: np.random.Generator) -> Pattern:
    """Staggered round holes in blocks of columns, over the pads they land on."""
    pitch_x, pitch_y = float(rng.uniform(16.0, 19.0)), float(rng.uniform(15.0, 18.0))
    radius = float(rng.uniform(4.3, 5.0))
    block = int(rng.integers(7, 10))
    upper, lower = Canvas(DESIGN_SIZE), Canvas(DESIGN_SIZE)
    x_start = float(rng.uniform(0.0, pitch_x))
    for column, x in enumerate(np.arange(x_start, DESIGN_SIZE, pitch_x)):
        if column % block == block - 1:
            lower.box(x - pitch_x * 0.3, -20.0, x + pitch_x * 0.3, DESIGN_SIZE + 20.0)
            continue
        stagger = 0.5 * pitch_y * (column % 2)
        for y in np.arange(stagger, DESIGN_SIZE, pitch_y):
            upper.capsule(x, y - 0.6, x, y + 0.6, radius=radius)
            lower.box(x - radius - 2.4, y - radius - 2.0, x + radius + 2.4, y + radius + 2.0)
    materials = Materials(substrate=0.54, lower=0.62, upper=0.20, lower_rim=-0.03, upper_rim=0.15)
    return Pattern(
        family=Family.CONTACT,
        upper=upper.field,
        lower=lower.field,
        pitch_px=(pitch_x, pitch_y),
        materials=materials,
    )


def _draw_cells(rng: np.random.Generator) -> Pattern:
    """Slanted active islands as in a dense memory, crossed below by word lines."""
    pitch_x, pitch_y = float(rng.uniform(29.0, 33.0)), float(rng.uniform(18.0, 21.0))
    slant = float(rng.uniform(0.32, 0.42))
    reach_x = pitch_x * 0.36
    upper, lower = Canvas(DESIGN_SIZE), Canvas(DESIGN_SIZE)
    for row, y in enumerate(np.arange(0.0, DESIGN_SIZE + pitch_y, pitch_y)):
        offset = pitch_x * (row % 3) / 3.0
        for x in np.arange(offset - pitch_x, DESIGN_SIZE + pitch_x, pitch_x):
            upper.capsule(
                x - reach_x, y - slant * reach_x, x + reach_x, y + slant * reach_x, radius=0.23 * pitch_y
            )
    for x in np.arange(0.0, DESIGN_SIZE, pitch_x / 2.0):
        lower.box(x, -20.0, x + pitch_x / 4.4, DESIGN_SIZE + 20.0)
    materials = Materials(substrate=0.23, lower=0.33, upper=0.60, lower_rim=-0.03, upper_rim=0.12)
    return Pattern(
        family=Family.CELL,
        upper=upper.field,
        lower=lower.field,
        pitch_px=(pitch_x, pitch_y),
        materials=materials,
    )


def _draw_logic(rng: np.random.Generator) -> Pattern:
    """Wires on horizontal tracks with ends, jogs to the next track and landing pads, over vertical wires."""
    pitch = float(rng.uniform(13.5, 15.5))
    width = 0.5 * pitch
    upper, lower = Canvas(DESIGN_SIZE), Canvas(DESIGN_SIZE)
    for y in np.arange(rng.uniform(0.0, pitch), DESIGN_SIZE, pitch):
        x = float(rng.uniform(-60.0, 0.0))
        while x < DESIGN_SIZE:
            end = x + float(rng.choice([28.0, 46.0, 75.0, 120.0, 190.0]))
            upper.box(x, y, end, y + width)
            if rng.random() < 0.5:
                upper.box(end - width - 1.5, y - 1.5, end + 1.5, y + width + 1.5)
            if rng.random() < 0.4:
                jog = float(rng.uniform(x, end - width))
                upper.box(jog, y, jog + width, y + pitch + width)
            x = end + float(rng.choice([10.0, 12.0, 24.0, 44.0], p=[0.4, 0.3, 0.2, 0.1]))
    for x in np.arange(0.0, DESIGN_SIZE, 21.0):
        start = float(rng.uniform(-40.0, 160.0))
        lower.box(x, start, x + 9.0, start + float(rng.uniform(60.0, 260.0)))
    materials = Materials(substrate=0.24, lower=0.35, upper=0.70, lower_rim=-0.04, upper_rim=-0.12)
    return Pattern(
        family=Family.LOGIC,
        upper=upper.field,
        lower=lower.field,
        pitch_px=(2.0 * pitch, pitch),
        materials=materials,
    )


def _horizontal_lines(canvas: Canvas, rng: np.random.Generator, *, pitch: float, width: float) -> None:
    for top in np.arange(rng.uniform(0.0, pitch) - pitch, DESIGN_SIZE, pitch):
        canvas.box(-20.0, top, DESIGN_SIZE + 20.0, top + width)

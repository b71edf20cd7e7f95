"""How one wafer printed the design and where the stage stopped: line width, edge roughness, overlay, film, jitter.

Line width, or critical dimension (CD), is moved by moving edges: a distance field plus half the CD change. Knows
neither defects nor light. Frame: image pixels, x to the right, y down; distances in px of PIXEL_UM micrometres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field
from scipy import ndimage

from waferlens.images.synth.fields import SmoothField, Stream, generator
from waferlens.images.synth.patterns import MARGIN_PX, Materials, Pattern
from waferlens.images.synth.wafer import InspectionPoint
from waferlens.records import IMAGE_SIZE, FloatArray

_CENTRE = (IMAGE_SIZE - 1) / 2.0
_SIGMAS_KEPT = 3.0


class StageOptions(BaseModel, frozen=True, extra="forbid"):
    """How exactly the stage returns to a site. Draws are cut at three standard deviations."""

    jitter_sigma_px: float = Field(1.5, ge=0.0, le=12.0, description="Shift in x and in y, px, 1 sigma.")
    rotation_sigma_deg: float = Field(0.12, ge=0.0, le=3.0, description="Rotation, degrees, 1 sigma.")


class ProcessOptions(BaseModel, frozen=True, extra="forbid"):
    """Variation of the process. Line widths are near 7 px, so 0.35 px of CD is 5 %."""

    cd_radial_px: float = Field(0.5, ge=0.0, le=3.0, description="CD, centre to edge of the wafer, px.")
    cd_wafer_px: float = Field(0.25, ge=0.0, le=2.0, description="CD from wafer to wafer, px, 1 sigma.")
    cd_die_px: float = Field(0.15, ge=0.0, le=2.0, description="CD from die to die, px, 1 sigma.")
    cd_local_px: float = Field(0.25, ge=0.0, le=2.0, description="CD inside an image, px, 1 sigma.")
    roughness_px: float = Field(0.32, ge=0.0, le=2.0, description="Displacement of an edge, px, 1 sigma.")
    roughness_correlation_px: float = Field(7.0, ge=3.0, le=40.0, description="1/e length along an edge, px.")
    overlay_px: float = Field(0.7, ge=0.0, le=4.0, description="Lower layer against upper, px, 1 sigma.")
    film_sigma: float = Field(0.02, ge=0.0, le=0.1, description="Reflectance of the films, 1 sigma, absolute.")
    grain_sigma: float = Field(0.02, ge=0.0, le=0.1, description="Grain of the surface, 1 sigma, relative.")
    sidewall_px: float = Field(1.6, ge=1.0, le=4.0, description="Width of a sidewall seen from above, px.")


@dataclass(frozen=True)
class Placement:
    """Where the stage stopped: design = rotate(image - centre) + centre + margin + shift, in px."""

    shift_x: float
    shift_y: float
    rotation_rad: float

    def sample(self, field: FloatArray, extra_x: float = 0.0, extra_y: float = 0.0) -> FloatArray:
        """The (IMAGE_SIZE, IMAGE_SIZE) view of a design field, displaced by a further (extra_x, extra_y) px."""
        cos, sin = np.cos(self.rotation_rad), np.sin(self.rotation_rad)
        matrix = np.array([[cos, sin], [-sin, cos]])
        target = _CENTRE + MARGIN_PX + np.array([self.shift_y + extra_y, self.shift_x + extra_x])
        view: FloatArray = ndimage.affine_transform(
            field,
            matrix,
            offset=target - matrix @ np.array([_CENTRE, _CENTRE]),
            output_shape=(IMAGE_SIZE, IMAGE_SIZE),
            output=np.float32,
            order=1,
            mode="nearest",
        )
        return view

    def to_image(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Image coordinates of design points, the inverse of what `sample` does."""
        cos, sin = np.cos(self.rotation_rad), np.sin(self.rotation_rad)
        dx, dy = x - _CENTRE - MARGIN_PX - self.shift_x, y - _CENTRE - MARGIN_PX - self.shift_y
        return cos * dx + sin * dy + _CENTRE, -sin * dx + cos * dy + _CENTRE

    def rotate(self, x: float, y: float) -> tuple[float, float]:
        """Image direction of a design direction."""
        cos, sin = float(np.cos(self.rotation_rad)), float(np.sin(self.rotation_rad))
        return cos * x + sin * y, -sin * x + cos * y


def stop_stage(options: StageOptions, rng: np.random.Generator) -> Placement:
    """Draw where the stage stops for one image."""
    x, y, turn = np.clip(rng.standard_normal(3), -_SIGMAS_KEPT, _SIGMAS_KEPT)
    jitter = options.jitter_sigma_px
    return Placement(float(x * jitter), float(y * jitter), float(np.deg2rad(turn * options.rotation_sigma_deg)))


@dataclass(frozen=True, kw_only=True)
class Print:
    """One site as this wafer printed it, in the image frame.

    upper, lower: (IMAGE_SIZE, IMAGE_SIZE) distance fields in px. growth: what CD and roughness added to upper,
    so that a displaced copy of the design can be printed alike. grain: (IMAGE_SIZE, IMAGE_SIZE) relative.
    """

    upper: FloatArray
    lower: FloatArray
    growth: FloatArray
    grain: FloatArray
    materials: Materials
    sidewall_px: float

    def reflectance(self, upper: FloatArray) -> FloatArray:
        """Reflectance (IMAGE_SIZE, IMAGE_SIZE) of the site when the upper layer has that distance field."""
        levels = self.materials
        surface = _coat(levels.substrate, levels.lower, levels.lower_rim, self.lower, self.sidewall_px)
        surface = _coat(surface, levels.upper, levels.upper_rim, upper, self.sidewall_px)
        result: FloatArray = surface * self.grain
        return result


def _coat(
    below: FloatArray | float, level: float, rim: float, distance: FloatArray, sidewall_px: float
) -> FloatArray:
    """Lay a material of that reflectance where distance > 0, with a rim of the sidewall's width along its edge."""
    cover = np.clip(distance / sidewall_px + 0.5, 0.0, 1.0)
    edge = np.clip(1.0 - np.abs(distance) / sidewall_px, 0.0, None)
    coated: FloatArray = below + cover * (level - below) + edge * rim
    return coated


@dataclass(frozen=True)
class Process:
    """The process of one fab: options and the correlation kernels built from them."""

    options: ProcessOptions
    seed: int
    rough: SmoothField
    wide: SmoothField

    @classmethod
    def build(cls, options: ProcessOptions, seed: int) -> Process:
        """Precompute the kernels; seed is the fab's."""
        rough = SmoothField.build(IMAGE_SIZE, options.roughness_correlation_px)
        return cls(options, seed, rough, SmoothField.build(IMAGE_SIZE, 90.0))

    def mean_cd_change_px(self, wafer: int, point: InspectionPoint) -> float:
        """CD change in px common to one image: bowl over the wafer, this wafer, this die."""
        options = self.options
        wafer_part = generator(self.seed, Stream.WAFER, wafer).standard_normal() * options.cd_wafer_px
        die_part = generator(self.seed, Stream.DIE, wafer, point.die).standard_normal() * options.cd_die_px
        return float(options.cd_radial_px * (point.radius**2 - 0.5) + wafer_part + die_part)

    def print(self, pattern: Pattern, wafer: int, point: InspectionPoint, placement: Placement) -> Print:
        """Print a site on a wafer and look at it from where the stage stopped."""
        options, rng = self.options, generator(self.seed, Stream.PROCESS, wafer, point.index)
        film = generator(self.seed, Stream.WAFER, wafer, 1).standard_normal(4)
        film = (film + 0.5 * rng.standard_normal(4)) * options.film_sigma
        overlay_x, overlay_y = generator(self.seed, Stream.WAFER, wafer, 2).standard_normal(2) * options.overlay_px
        change = self.mean_cd_change_px(wafer, point)
        growth = self.wide.sample(rng) * np.float32(0.5 * options.cd_local_px) + np.float32(0.5 * change)
        growth += self.rough.sample(rng) * np.float32(options.roughness_px)
        grain = rng.standard_normal((IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
        lower = placement.sample(pattern.lower, float(overlay_x), float(overlay_y)) + np.float32(0.5 * change)
        levels = pattern.materials
        return Print(
            upper=placement.sample(pattern.upper) + growth,
            lower=lower,
            growth=growth,
            grain=1.0 + np.float32(options.grain_sigma) * grain,
            materials=Materials(
                substrate=levels.substrate + float(film[0]),
                lower=levels.lower + float(film[1]),
                upper=levels.upper + float(film[2]),
                lower_rim=levels.lower_rim,
                upper_rim=levels.upper_rim * (1.0 + 4.0 * float(film[3])),
            ),
            sidewall_px=options.sidewall_px,
        )

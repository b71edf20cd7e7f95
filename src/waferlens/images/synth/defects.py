"""What can go wrong: the kinds of defect, how large and how strong they come. Draws nothing itself.

Known kinds are those that inspectors already name; novel kinds are kept apart, to show whether a detector that
never saw any defect also finds those that nobody has named yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from waferlens.errors import OptionsError


class DefectKind(StrEnum):
    """Every defect that the fab can make; the value is the folder's name."""

    SCRATCH = "scratch"
    PARTICLE = "particle"
    PATTERN_SHIFT = "pattern_shift"
    BRIDGE = "bridge"
    OPEN = "open"
    RESIDUE = "residue"
    VOID = "void"
    HAZE_RING = "haze_ring"


KNOWN_KINDS = (
    DefectKind.SCRATCH,
    DefectKind.PARTICLE,
    DefectKind.PATTERN_SHIFT,
    DefectKind.BRIDGE,
    DefectKind.OPEN,
)
NOVEL_KINDS = (DefectKind.RESIDUE, DefectKind.VOID, DefectKind.HAZE_RING)

SIZE_LIMITS_UM = (0.1, 40.0)
"""From one pixel to well beyond the image."""


@dataclass(frozen=True, kw_only=True)
class DefectSpec:
    """One defect to be made.

    size_um: its characteristic length in micrometres (scratch: length; particle: diameter; pattern_shift: side of
    the shifted field; bridge: width; open: gap; residue: diameter; void: diameter of the largest; haze_ring:
    radius). contrast: in (0, 1]; the share of its full effect (for a pattern_shift, of half a pitch).
    """

    kind: DefectKind
    size_um: float
    contrast: float

    def __post_init__(self) -> None:
        low, high = SIZE_LIMITS_UM
        if not low <= self.size_um <= high:
            raise OptionsError("size of a defect", expected=f"{low} to {high} um", found=f"{self.size_um}")
        if not 0.0 < self.contrast <= 1.0:
            raise OptionsError("contrast of a defect", expected="0 < contrast <= 1", found=f"{self.contrast}")


class DefectRange(BaseModel, frozen=True, extra="forbid"):
    """Smallest and largest size (um, drawn log-uniformly) and contrast (drawn uniformly) of one kind."""

    size_um: tuple[float, float] = Field(description="Smallest and largest size, um.")
    contrast: tuple[float, float] = Field(description="Smallest and largest contrast, in (0, 1].")

    @model_validator(mode="after")
    def _in_order_and_in_range(self) -> Self:
        if not SIZE_LIMITS_UM[0] <= self.size_um[0] <= self.size_um[1] <= SIZE_LIMITS_UM[1]:
            raise ValueError(f"size_um; expected low <= high within {SIZE_LIMITS_UM}; found {self.size_um}")
        if not 0.0 < self.contrast[0] <= self.contrast[1] <= 1.0:
            raise ValueError(f"contrast; expected 0 < low <= high <= 1; found {self.contrast}")
        return self


def _default_ranges() -> dict[DefectKind, DefectRange]:
    """From what anyone sees at a glance to what an inspector sees on a second look."""
    return {
        DefectKind.SCRATCH: DefectRange(size_um=(4.0, 18.0), contrast=(0.3, 1.0)),
        DefectKind.PARTICLE: DefectRange(size_um=(0.6, 2.4), contrast=(0.35, 0.95)),
        DefectKind.PATTERN_SHIFT: DefectRange(size_um=(2.0, 7.0), contrast=(0.2, 0.7)),
        DefectKind.BRIDGE: DefectRange(size_um=(0.25, 0.8), contrast=(0.3, 0.95)),
        DefectKind.OPEN: DefectRange(size_um=(0.25, 0.9), contrast=(0.3, 0.95)),
        DefectKind.RESIDUE: DefectRange(size_um=(3.0, 9.0), contrast=(0.3, 0.9)),
        DefectKind.VOID: DefectRange(size_um=(0.45, 0.9), contrast=(0.6, 1.0)),
        DefectKind.HAZE_RING: DefectRange(size_um=(5.0, 13.0), contrast=(0.4, 1.0)),
    }


class DefectOptions(BaseModel, frozen=True, extra="forbid"):
    """The difficulty of the yardstick.

    ranges replaces the default of the kinds that it names. Visibility is the ideal observer's signal to noise
    ratio, sqrt(sum((difference / noise sigma)^2)) over the mask; Rose (1948) puts the limit of sight near 5 on a
    plain ground, so the default asks for eight times that on a patterned one.
    """

    ranges: Mapping[DefectKind, DefectRange] = Field(
        default_factory=dict, description="Sizes in um and contrasts by kind, where not the default."
    )
    mask_threshold: float = Field(
        0.012, gt=0.0, le=0.2, description="Difference of the noiseless twins that is defect, full scale."
    )
    min_visibility: float = Field(40.0, ge=0.0, le=1000.0, description="Least visibility; 0 allows any.")

    def range_of(self, kind: DefectKind) -> DefectRange:
        """The sizes and contrasts of that kind."""
        return self.ranges.get(kind) or DEFAULT_RANGES[kind]


DEFAULT_RANGES: Mapping[DefectKind, DefectRange] = MappingProxyType(_default_ranges())


def draw_spec(kind: DefectKind, options: DefectOptions, rng: np.random.Generator) -> DefectSpec:
    """Draw size and contrast of one defect from the options' ranges."""
    limits = options.range_of(kind)
    low, high = np.log(limits.size_um)
    return DefectSpec(
        kind=kind,
        size_um=float(np.exp(rng.uniform(low, high))),
        contrast=float(rng.uniform(*limits.contrast)),
    )

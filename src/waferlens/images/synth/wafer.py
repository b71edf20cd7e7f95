"""Where the inspection points of a 300 mm wafer lie. Knows geometry and names, no pixels.

A point is one site of one full die: ``point = die * num_sites + site``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field

from waferlens.errors import OptionsError

WAFERS_PER_LOT = 25
"""A carrier (FOUP) holds 25 wafers."""


class WaferOptions(BaseModel, frozen=True, extra="forbid"):
    """Size of the wafer and of its dies. The defaults give the largest field of a scanner on a 300 mm wafer."""

    diameter_mm: float = Field(300.0, ge=100.0, le=450.0, description="Wafer diameter in mm.")
    edge_exclusion_mm: float = Field(3.0, ge=0.0, le=20.0, description="Ring at the edge that is not used, mm.")
    die_width_mm: float = Field(26.0, ge=5.0, le=60.0, description="Die step in x, mm.")
    die_height_mm: float = Field(33.0, ge=5.0, le=60.0, description="Die step in y, mm.")


@dataclass(frozen=True, kw_only=True)
class InspectionPoint:
    """One place that is imaged. radius is the distance from the wafer's centre over its radius, in [0, 1)."""

    index: int
    die: int
    site: int
    x_mm: float
    y_mm: float
    radius: float


@dataclass(frozen=True)
class WaferLayout:
    """All inspection points of a wafer, in the order of their index."""

    points: tuple[InspectionPoint, ...]

    @property
    def num_points(self) -> int:
        """How many images one wafer gives."""
        return len(self.points)

    def point(self, index: int) -> InspectionPoint:
        """The inspection point of that index; OptionsError when the wafer has no such point."""
        if not 0 <= index < self.num_points:
            raise OptionsError(
                "no such inspection point", expected=f"0 <= point < {self.num_points}", found=str(index)
            )
        return self.points[index]


def lay_out(options: WaferOptions, num_sites: int) -> WaferLayout:
    """Place every full die of a grid that has a die on the wafer's centre, num_sites points in each.

    Raises OptionsError when not one die fits.
    """
    dies = _full_dies(options)
    if not dies:
        raise OptionsError(
            "no full die fits on the wafer",
            expected=f"a die smaller than the {options.diameter_mm} mm wafer",
            found=f"{options.die_width_mm} x {options.die_height_mm} mm",
        )
    radius_mm = options.diameter_mm / 2.0
    points: list[InspectionPoint] = []
    for die, (x_die, y_die) in enumerate(dies):
        for site in range(num_sites):
            # Sites lie on a diagonal of the die, well inside it.
            along = (site + 0.5) / num_sites - 0.5
            x_mm, y_mm = x_die + along * options.die_width_mm, y_die - along * options.die_height_mm
            points.append(
                InspectionPoint(
                    index=len(points),
                    die=die,
                    site=site,
                    x_mm=x_mm,
                    y_mm=y_mm,
                    radius=float(np.hypot(x_mm, y_mm)) / radius_mm,
                )
            )
    return WaferLayout(tuple(points))


def _full_dies(options: WaferOptions) -> list[tuple[float, float]]:
    """Centres in mm of the dies whose four corners lie inside the edge exclusion."""
    usable_mm = options.diameter_mm / 2.0 - options.edge_exclusion_mm
    width, height = options.die_width_mm, options.die_height_mm
    reach = int(np.ceil(usable_mm / min(width, height)))
    return [
        (column * width, row * height)
        for row in range(-reach, reach + 1)
        for column in range(-reach, reach + 1)
        if np.hypot((abs(column) + 0.5) * width, (abs(row) + 0.5) * height) <= usable_mm
    ]


def wafer_name(wafer: int) -> str:
    """``WF-000042``; the name that images, manifests and answers carry."""
    return f"WF-{wafer:06d}"


def lot_name(wafer: int) -> str:
    """The lot of that wafer: ``LOT-00001`` holds wafers 25 to 49."""
    return f"LOT-{wafer // WAFERS_PER_LOT:05d}"

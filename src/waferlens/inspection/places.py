"""Where the inspection points of a product lie on its wafer, as far as anybody said. Millimetres, notch down.

x goes right and y up from the wafer's centre. Without a map nothing is known but the order of the points: whoever
draws them must not pretend to know more.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Self

import numpy as np
from pydantic import Field, model_validator
from scipy.spatial import KDTree

from waferlens.images.synth.wafer import WaferOptions, lay_out


class MapOptions(WaferOptions):
    """A product's map: the full dies of a grid with some sites each, or every point by its coordinates."""

    sites_per_die: int = Field(
        4, ge=1, le=1000, description="on the diagonal of each die; point = die * sites + site"
    )
    points_mm: tuple[tuple[float, float], ...] = Field((), description="x, y of each point; instead of a grid")

    @model_validator(mode="after")
    def _on_the_wafer(self) -> Self:
        radius = self.diameter_mm / 2
        for number, (x, y) in enumerate(self.points_mm):
            if not x * x + y * y <= radius * radius:
                raise ValueError(
                    f"point {number} at ({x:g}, {y:g}) mm is not on a wafer of {self.diameter_mm:g} mm"
                )
        return self

    def places_mm(self) -> tuple[tuple[float, float], ...]:
        """x, y of each point by its number."""
        return self.points_mm or _grid(self)

    def spacing_mm(self) -> float:
        """How far a point usually is from its nearest neighbour: how large a mark may be."""
        return _spacing(self.places_mm()) or self.diameter_mm / 10


@lru_cache(maxsize=64)
def _grid(options: MapOptions) -> tuple[tuple[float, float], ...]:
    grid = WaferOptions(**{name: getattr(options, name) for name in WaferOptions.model_fields})
    return tuple((point.x_mm, point.y_mm) for point in lay_out(grid, options.sites_per_die).points)


@lru_cache(maxsize=64)
def _spacing(places: tuple[tuple[float, float], ...]) -> float:
    if len(places) < 2:
        return 0.0
    distances, _ = KDTree(np.asarray(places)).query(np.asarray(places), k=2)
    return float(np.median(distances[:, 1]))

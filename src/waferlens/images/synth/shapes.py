"""Signed distances of the shapes that a layout is drawn with. Knows no pattern.

A distance field is (H, W) float32 in pixels, positive inside the material, negative outside, cut at -REACH far
away. Moving an edge is adding to the field, which is how line width and edge roughness are applied later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from waferlens.records import FloatArray

REACH_PX = 16.0
"""Distances below -REACH_PX are not told apart; wider gaps than twice this are never bridged."""

Distance = Callable[[FloatArray, FloatArray], FloatArray]
"""A shape: pixel columns (1, W) and rows (H, 1) to signed distance (H, W)."""


@dataclass
class Canvas:
    """A square on which shapes are united, shape by shape, each only where it reaches."""

    size: int

    def __post_init__(self) -> None:
        self.field: FloatArray = np.full((self.size, self.size), -REACH_PX, dtype=np.float32)

    def box(self, x0: float, y0: float, x1: float, y1: float, *, corner_px: float = 2.0) -> None:
        """Unite with a rectangle from (x0, y0) to (x1, y1), its corners rounded as printing rounds them."""
        corner = min(corner_px, (x1 - x0) / 2.0, (y1 - y0) / 2.0)

        def distance(x: FloatArray, y: FloatArray) -> FloatArray:
            dx = np.abs(x - (x0 + x1) / 2.0) - (x1 - x0) / 2.0 + corner
            dy = np.abs(y - (y0 + y1) / 2.0) - (y1 - y0) / 2.0 + corner
            outside = np.hypot(np.maximum(dx, 0.0), np.maximum(dy, 0.0))
            result: FloatArray = corner - outside - np.minimum(np.maximum(dx, dy), 0.0)
            return result

        self._unite(distance, x0, y0, x1, y1)

    def capsule(self, x0: float, y0: float, x1: float, y1: float, *, radius: float) -> None:
        """Unite with all points within radius of the segment (x0, y0)-(x1, y1); a disc when the ends meet."""

        def distance(x: FloatArray, y: FloatArray) -> FloatArray:
            return radius - segment_distance(x, y, x0, y0, x1, y1)

        low_x, high_x = min(x0, x1) - radius, max(x0, x1) + radius
        self._unite(distance, low_x, min(y0, y1) - radius, high_x, max(y0, y1) + radius)

    def _unite(self, distance: Distance, x0: float, y0: float, x1: float, y1: float) -> None:
        left, right = self._window(x0, x1)
        top, bottom = self._window(y0, y1)
        if left >= right or top >= bottom:
            return
        x = np.arange(left, right, dtype=np.float32)[None, :]
        y = np.arange(top, bottom, dtype=np.float32)[:, None]
        part = self.field[top:bottom, left:right]
        np.maximum(part, distance(x, y), out=part)

    def _window(self, low: float, high: float) -> tuple[int, int]:
        start = max(0, int(np.floor(low - REACH_PX)))
        stop = min(self.size, int(np.ceil(high + REACH_PX)) + 1)
        return start, stop


def segment_distance(x: FloatArray, y: FloatArray, x0: float, y0: float, x1: float, y1: float) -> FloatArray:
    """Distance in px of every pixel from the segment (x0, y0)-(x1, y1); broadcasts x against y."""
    run_x, run_y = x1 - x0, y1 - y0
    length_squared = run_x * run_x + run_y * run_y
    if length_squared == 0.0:
        point: FloatArray = np.hypot(x - x0, y - y0)
        return point
    along = np.clip(((x - x0) * run_x + (y - y0) * run_y) / length_squared, 0.0, 1.0)
    result: FloatArray = np.hypot(x - x0 - along * run_x, y - y0 - along * run_y)
    return result


def soft_union(first: FloatArray, second: FloatArray, fillet_px: float) -> FloatArray:
    """Union of two distance fields whose junction is filleted over about fillet_px (polynomial smooth maximum)."""
    blend = np.maximum(fillet_px - np.abs(first - second), 0.0) / fillet_px
    result: FloatArray = np.maximum(first, second) + blend * blend * (0.25 * fillet_px)
    return result


def soft_cut(field: FloatArray, cutter: FloatArray, fillet_px: float) -> FloatArray:
    """The field without the cutter's inside, its new corners rounded over about fillet_px."""
    return -soft_union(-field, cutter, fillet_px)


def smoothstep_edge(distance: FloatArray, width_px: float) -> FloatArray:
    """Share of material in [0, 1] at a distance from its edge, rising over width_px about the edge."""
    ramp = np.clip(distance / width_px + 0.5, 0.0, 1.0)
    result: FloatArray = ramp * ramp * (3.0 - 2.0 * ramp)
    return result

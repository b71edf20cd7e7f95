"""Where a pattern defect matters: the gaps that a bridge can close and the necks that an open can cut.

Found once a design from its distance field alone, so a new pattern family needs no list of places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from waferlens.images.synth.shapes import REACH_PX
from waferlens.records import FloatArray

_SLACK_PX = 1.6
_WIDEST = 1.35
"""Gaps up to this many times the narrow ones count: a defect joins neighbours, not distant wires."""


@dataclass(frozen=True)
class Anchors:
    """Centres of narrow places, all arrays (N,) in design px.

    x, y: the centre. across_x, across_y: unit direction from one edge to the other. half: half the width there.
    """

    x: FloatArray
    y: FloatArray
    across_x: FloatArray
    across_y: FloatArray
    half: FloatArray


def find_gaps(upper: FloatArray) -> Anchors:
    """Places in the background half-way between two features that face each other."""
    return _find_narrow_places(-upper)


def find_necks(upper: FloatArray) -> Anchors:
    """Places inside the material half-way between its two edges."""
    return _find_narrow_places(upper)


def _find_narrow_places(distance: FloatArray) -> Anchors:
    """Pixels with distance > 0 that have another edge as far away opposite their nearest one."""
    inside = distance > 0.0
    _, (edge_y, edge_x) = ndimage.distance_transform_edt(inside, return_indices=True)
    y, x = np.nonzero(inside & (distance < REACH_PX - _SLACK_PX))
    toward_x, toward_y = edge_x[y, x] - x, edge_y[y, x] - y
    mirror_x, mirror_y = x - toward_x, y - toward_y
    size = distance.shape[0]
    within = (mirror_x >= 0) & (mirror_x < size) & (mirror_y >= 0) & (mirror_y < size)
    x, y, toward_x, toward_y = x[within], y[within], toward_x[within], toward_y[within]
    opposite = distance[mirror_y[within], mirror_x[within]]
    reach = np.hypot(toward_x, toward_y)
    half = distance[y, x]
    # A pixel right beside an edge mirrors to a pixel near that same edge, hence the least half width.
    ridge = (np.abs(opposite) < _SLACK_PX) & (half > _SLACK_PX)
    narrow = ridge & (half <= _WIDEST * np.quantile(half[ridge], 0.25))
    return Anchors(
        x=x[narrow].astype(np.float32),
        y=y[narrow].astype(np.float32),
        across_x=(toward_x[narrow] / reach[narrow]).astype(np.float32),
        across_y=(toward_y[narrow] / reach[narrow]).astype(np.float32),
        half=half[narrow].astype(np.float32),
    )

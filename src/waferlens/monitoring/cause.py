"""Which one thing moved: a station, a product, one of its cells, or everything. Numpy only.

Every cell (a station with a product) has a shift since the onset, with its standard error. An explanation says
which cells moved together, by one amount; the best is that which leaves the least unexplained,

    sum over its cells ((d - common)/se)^2  +  sum over the others (d/se)^2

and of two that leave the same, the wider: one cell that is all there is to see speaks for its station.

An inspection point that moved alone is found by ``points``: it hardly moves the mean of a wafer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from waferlens.errors import DataError

Floats = npt.NDArray[np.float64]


class Scope(StrEnum):
    """What a cause covers."""

    STATION = "station"
    PRODUCT = "product"
    CELL = "station and product"
    POINT = "inspection point"
    ALL = "all"


_CELL_ALONE = 4.0
"""By how much, in squared deviations, one cell must explain better than its station: lamps move more often."""


@dataclass(frozen=True)
class CellShift:
    """How far one station with one product moved, and how well that is known."""

    station: str
    product: str
    shift: float
    error: float


@dataclass(frozen=True, kw_only=True)
class Cause:
    """scope, and the station, product or point that it names ("" for all). shift: in the statistic's own unit."""

    scope: Scope
    name: str
    shift: float


def find_cause(cells: Sequence[CellShift]) -> Cause:
    """The best explanation of what the cells show; one cell alone only where it explains clearly better.

    Raises DataError without a cell.
    """
    if not cells:
        raise DataError("no cell to look for a cause in", expected="at least one station with a product")
    shifts = np.array([cell.shift for cell in cells])
    weights = np.array([1.0 / cell.error**2 for cell in cells])
    best, least = None, math.inf
    for scope, name, inside in _explanations(cells):
        common = float((weights[inside] * shifts[inside]).sum() / weights[inside].sum())
        left = float((weights * (shifts - np.where(inside, common, 0.0)) ** 2).sum())
        left += _CELL_ALONE if scope is Scope.CELL else 0.0
        if left < least - 1e-9:
            best, least = Cause(scope=scope, name=name, shift=common), left
    assert best is not None  # "all" is always among them
    return best


def covers(cause: Cause, station: str, product: str) -> bool:
    """Whether the cause explains that this cell moved."""
    return {
        Scope.STATION: cause.name == station,
        Scope.PRODUCT: cause.name == product,
        Scope.CELL: cause.name == f"{station}, {product}",
        Scope.POINT: False,
        Scope.ALL: True,
    }[cause.scope]


def _explanations(
    cells: Sequence[CellShift],
) -> list[tuple[Scope, str, npt.NDArray[np.bool_]]]:
    """Wider ones first, and a station before a product: lamps move more often than designs."""
    stations, products = sorted({c.station for c in cells}), sorted({c.product for c in cells})
    found = [(Scope.ALL, "", np.ones(len(cells), dtype=np.bool_))] if len(stations) != 1 else []
    found += [(Scope.STATION, name, np.array([c.station == name for c in cells])) for name in stations]
    found += [(Scope.PRODUCT, name, np.array([c.product == name for c in cells])) for name in products]
    found += [
        (Scope.CELL, f"{cell.station}, {cell.product}", np.arange(len(cells)) == index)
        for index, cell in enumerate(cells)
    ]
    return found

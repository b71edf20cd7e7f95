"""Bars of the inspections an hour, as shapes to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from waferlens.monitoring.line import Tally
from waferlens.records import DecisionKind

WIDTH, HEIGHT = 720.0, 190.0
_LEAST = 3.0
"""A single REJECT among thousands is still seen."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a bar: one decision."""

    kind: DecisionKind
    y: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Bar:
    """An hour. x: of its left edge. tally: its counts."""

    hour_ms: int
    x: float
    width: float
    top: float
    pieces: Sequence[Piece]
    tally: Tally


def hourly_bars(hours: Sequence[tuple[int, Tally]]) -> list[Bar]:
    """A bar an hour, stacked PASS, REVIEW, REJECT from below; the tallest fills the height."""
    most = max((tally.num for _, tally in hours), default=0)
    step = WIDTH / max(1, len(hours))
    return [_bar(hour, tally, number * step, step, most) for number, (hour, tally) in enumerate(hours)]


def _bar(hour_ms: int, tally: Tally, left: float, step: float, most: int) -> Bar:
    y, pieces = HEIGHT, []
    for kind in DecisionKind:
        count = tally.counts.get(kind, 0)
        if count:
            height = max(_LEAST, (HEIGHT - 2 * _LEAST) * count / most)
            y -= height
            pieces.append(Piece(kind=kind, y=round(y, 1), height=round(height, 1)))
    return Bar(
        hour_ms=hour_ms,
        x=round(left + 0.1 * step, 1),
        width=round(0.8 * step, 1),
        top=round(y, 1),
        pieces=pieces,
        tally=tally,
    )

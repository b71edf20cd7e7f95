"""Wafer maps as marks to draw: where each point lies, what it looks like, where a click leads.

Where nobody said how the points of a product lie on the wafer, they stand in the order of their numbers, without
the outline of a wafer: the picture then claims no place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from waferlens.inspection.heatmap import HeatScale, heat_to_rgb
from waferlens.inspection.places import MapOptions
from waferlens.records import DecisionKind
from waferlens.storage.overview import PointLine

_MARGIN_MM, _NOTCH_MM = 4.0, 5.0
_STEP = 10.0
_ENLARGED = 1.5
"""Marks of a small map may touch: it shows where to look, not what is there."""
_LETTERS = {DecisionKind.REVIEW: "?", DecisionKind.REJECT: "×"}
_UNIT_SCALE = HeatScale(top=1.5)
"""REJECT is at two thirds of the colour scale, as on the heatmaps."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One point. look: class of its colours. path: its outline. fill: a colour where it shows a number."""

    x: float
    y: float
    look: str
    path: str
    title: str
    letter: str
    letter_size: float
    href: str | None
    fill: str | None
    here: bool


@dataclass(frozen=True, kw_only=True)
class WaferMap:
    """A drawing. known: whether the places are those on the wafer. box: what is seen of it, in mm."""

    marks: Sequence[Mark]
    known: bool
    box: str
    outline: str
    words: str

    @property
    def linked(self) -> bool:
        """Whether its marks lead somewhere."""
        return any(mark.href for mark in self.marks)


def decision_map(
    points: Sequence[PointLine],
    layout: MapOptions | None,
    *,
    name: str,
    by_score: bool = False,
    links: bool = False,
    here: int | None = None,
    small: bool = False,
) -> WaferMap:
    """The points of one wafer by decision, or by score in the heatmaps' colours. here: this one is marked."""
    by_point = {point.inspection_point: point for point in points}
    places, spacing = _places(layout, by_point)
    spacing *= _ENLARGED if small else 1.0
    marks = []
    for number, (x, y) in places.items():
        point = by_point.get(number)
        if point is None:
            marks.append(_mark(x, y, "none", 0.5 * spacing, title=f"point {number}: not inspected"))
            continue
        score = "nothing inferred" if point.score is None else f"score {point.score:.2f}"
        marks.append(
            _mark(
                x,
                y,
                str(point.decision),
                spacing,
                title=f"point {number}: {point.decision}, {score}",
                letter=_LETTERS.get(point.decision, ""),
                href=f"/station/inspections/{point.inspection_id}" if links else None,
                fill=_colour(point) if by_score else None,
                here=number == here,
            )
        )
    return _map(layout, marks, spacing, f"{name}: {_counted(point.decision for point in points)}")


def stacked_map(wafers: Mapping[str, Sequence[PointLine]], layout: MapOptions | None, *, name: str) -> WaferMap:
    """The wafers of a lot laid on each other: how many at each point did not pass; larger marks, larger share."""
    stacked: dict[int, list[PointLine]] = {}
    for points in wafers.values():
        for point in points:
            stacked.setdefault(point.inspection_point, []).append(point)
    places, spacing = _places(layout, stacked)
    marks = []
    for number, (x, y) in places.items():
        there = stacked.get(number, [])
        if not there:
            marks.append(_mark(x, y, "none", 0.5 * spacing, title=f"point {number}: not inspected"))
            continue
        rejected = sum(point.decision is DecisionKind.REJECT for point in there)
        doubtful = sum(point.decision is DecisionKind.REVIEW for point in there)
        bad = rejected + doubtful
        look = DecisionKind.REJECT if rejected else DecisionKind.REVIEW if doubtful else DecisionKind.PASS
        size = spacing * (0.6 if not bad else 0.75 + 0.75 * math.sqrt(bad / len(there)))
        title = f"point {number}: {rejected} rejected and {doubtful} in review of {len(there)} wafers"
        marks.append(_mark(x, y, str(look), size, title=title, letter=str(bad) if bad else ""))
    num_bad = sum(bool(mark.letter) for mark in marks)
    return _map(layout, marks, spacing, f"{name}: {len(wafers)} wafers on each other, {num_bad} points not passed")


def marked_map(num_at: Mapping[int, int], layout: MapOptions | None, *, name: str) -> WaferMap:
    """Where some images or defects of one or many wafers lie: how many at each point, larger marks for more."""
    places, spacing = _places(layout, num_at)
    most = max(num_at.values(), default=1)
    marks = []
    for number, (x, y) in places.items():
        num = num_at.get(number, 0)
        if not num:
            marks.append(_mark(x, y, "none", 0.5 * spacing, title=f"point {number}: none"))
            continue
        size = spacing * (0.9 + 0.6 * math.sqrt(num / most))
        letter = str(num) if num > 1 else ""
        marks.append(_mark(x, y, str(DecisionKind.REJECT), size, title=f"point {number}: {num}", letter=letter))
    return _map(layout, marks, spacing, f"{name}: {sum(num_at.values())} at {len(num_at)} points")


def _places(
    layout: MapOptions | None, inspected: Mapping[int, object]
) -> tuple[dict[int, tuple[float, float]], float]:
    """x and y of every point (y down, as screens have it), and how far apart they are."""
    if layout is not None:
        known = {number: (round(x, 2), round(-y, 2)) for number, (x, y) in enumerate(layout.places_mm())}
        if set(inspected) <= set(known):
            return known, layout.spacing_mm()
    num = 1 + max(inspected, default=0)
    columns = max(1, math.ceil(math.sqrt(num)))
    return {number: (_STEP * (number % columns), _STEP * (number // columns)) for number in range(num)}, _STEP


def _map(layout: MapOptions | None, marks: list[Mark], spacing: float, words: str) -> WaferMap:
    known = layout is not None and len(marks) == len(layout.places_mm())
    if layout is not None and known:
        radius = layout.diameter_mm / 2
        side = radius + _MARGIN_MM
        box, outline = f"{-side:g} {-side:g} {2 * side:g} {2 * side:g}", _outline(radius)
    else:
        width, height = (max((getattr(mark, axis) for mark in marks), default=0.0) for axis in "xy")
        box, outline = f"{-spacing:g} {-spacing:g} {width + 2 * spacing:g} {height + 2 * spacing:g}", ""
    return WaferMap(marks=marks, known=known, box=box, outline=outline, words=words)


def _outline(radius: float) -> str:
    """A disc with its notch at the bottom."""
    half = _NOTCH_MM
    y = math.sqrt(radius**2 - half**2)
    return f"M{half:g} {y:.2f}A{radius:g} {radius:g} 0 1 0 {-half:g} {y:.2f}L0 {y - half:.2f}z"


def _mark(
    x: float,
    y: float,
    look: str,
    spacing: float,
    *,
    title: str,
    letter: str = "",
    href: str | None = None,
    fill: str | None = None,
    here: bool = False,
) -> Mark:
    """PASS is a small disc, REVIEW a diamond, REJECT a square: told apart without colours."""
    if look == DecisionKind.REJECT:
        r = 0.36 * spacing
        path = f"M{x - r:.2f} {y - r:.2f}h{2 * r:.2f}v{2 * r:.2f}h{-2 * r:.2f}z"
    elif look == DecisionKind.REVIEW:
        r = 0.48 * spacing
        path = f"M{x:.2f} {y - r:.2f}l{r:.2f} {r:.2f} {-r:.2f} {r:.2f} {-r:.2f} {-r:.2f}z"
    else:
        r = 0.27 * spacing
        path = f"M{x - r:.2f} {y:.2f}a{r:.2f} {r:.2f} 0 1 0 {2 * r:.2f} 0a{r:.2f} {r:.2f} 0 1 0 {-2 * r:.2f} 0z"
    return Mark(
        x=x,
        y=y,
        look=look,
        path=path,
        title=title,
        letter=letter,
        letter_size=round(0.62 * spacing, 2),
        href=href,
        fill=fill,
        here=here,
    )


def _colour(point: PointLine) -> str | None:
    if point.score is None or point.reject_threshold <= 0:
        return None
    place = np.asarray([[point.score / point.reject_threshold]], dtype=np.float32)
    red, green, blue = heat_to_rgb(place, _UNIT_SCALE)[0, 0]
    return f"#{red:02x}{green:02x}{blue:02x}"


def _counted(kinds: Iterable[DecisionKind]) -> str:
    told = list(kinds)
    return ", ".join(f"{told.count(kind)} {kind}" for kind in DecisionKind)

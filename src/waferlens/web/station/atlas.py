"""The defect atlas: a map of similar images, its groups, and one form that labels a whole group."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Form, Query, Request, Response

from waferlens.review.atlas import NO_GROUP, AtlasMap
from waferlens.review.classes import ENGINEERING
from waferlens.review.labelling import MOST_AT_ONCE
from waferlens.review.saying import Saying
from waferlens.storage.review_stored import Choice
from waferlens.storage.stored import DAY_MS
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.shapes import InspectionId
from waferlens.web.station.said import back_to
from waferlens.web.station.shell import shell_of

router = APIRouter(include_in_schema=False)

_NUM_COLOURS, _MOST_SHOWN = 9, 60
_LEAST_SPREAD, _MARGIN = 0.015, 0.02  # of the map, whose sides are 2
UNNAMED = ""


@router.get("/station/atlas")
def atlas(request: Request, days: Annotated[float, Query(gt=0, le=3650)] = 30) -> Response:
    """What the running model rejected or doubted in the last days."""
    service = service_of(request)
    now_ms = service.review.clock.now_ms()
    drawn = service.review.atlas.map_of(service.pool.model_version, since_ms=max(0, now_ms - round(days * DAY_MS)))
    classes = service.review.taxonomy.in_use()
    return shell_of(request).page(
        request,
        "atlas.html.j2",
        days=days,
        drawn=drawn,
        outlines=_outlines(drawn),
        colours=_colours(drawn, [each.name for each in classes]),
        classes=classes,
        may_name=caller(request).role in ENGINEERING,
        keys=[secrets.token_hex(16) for _ in drawn.groups],
        most_shown=_MOST_SHOWN,
        undo_key=secrets.token_hex(16),
    )


@router.post("/station/atlas/label")
def label(
    request: Request,
    images: Annotated[list[InspectionId], Form(min_length=1, max_length=MOST_AT_ONCE)],
    key: Annotated[str, Form(max_length=64)],
    choice: Annotated[str, Form(max_length=64)],
    new_class: Annotated[str, Form(max_length=64)] = "",
    note: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """One verdict for every ticked image of a group.

    choice: ``pass``, ``reject``, or ``class:NAME``; new_class wins.
    """
    review, who = service_of(request).review, caller(request)
    name = choice.removeprefix("class:") if choice.startswith("class:") else None
    if new_class:
        name = review.taxonomy.add(who, new_class, "named in the atlas").name
    saying = Saying(
        choice=Choice.PASS if choice == "pass" and name is None else Choice.REJECT, defect_class=name, note=note
    )
    given = review.labelling.label(who, images, saying, key=key)
    return back_to("/station/atlas", f"{len(given)} images: {saying.choice}{f', {name}' if name else ''}.")


@router.post("/station/atlas/undo")
def undo(request: Request, key: Annotated[str, Form(max_length=64)]) -> Response:
    """Take the last act of the person back, a whole group at once."""
    withdrawn = service_of(request).review.verdicts.undo(caller(request), key=key)
    return back_to("/station/atlas", f"{len(withdrawn)} verdicts are taken back.")


def _colours(drawn: AtlasMap, names: list[str]) -> dict[str, int]:
    """A colour of each class that is on the map, 0 for none; the tenth and later share the last."""
    there = {placed.image.defect_class for placed in drawn.placed if placed.image.defect_class is not None}
    order = [name for name in names if name in there] + sorted(there - set(names))
    return {UNNAMED: 0} | {name: min(number, _NUM_COLOURS) for number, name in enumerate(order, start=1)}


@dataclass(frozen=True, kw_only=True)
class _Outline:
    """An ellipse in the map's units. turn: of the long axis, degrees, as SVG has it. top: its upper end."""

    x: float
    y: float
    long: float
    short: float
    turn: float
    top: tuple[float, float]


def _outlines(drawn: AtlasMap) -> dict[int, _Outline]:
    """Around each group: nine of ten of its images lie inside."""
    found = {}
    for group in drawn.groups:
        places = np.array([(each.x, -each.y) for each in drawn.placed if each.group == group.number != NO_GROUP])
        middle = places.mean(axis=0)
        spread, axes = np.linalg.eigh(np.cov(places.T, bias=True) + _LEAST_SPREAD**2 * np.eye(2))
        away = np.sqrt((((places - middle) @ axes) ** 2 / spread).sum(axis=1))
        short, long = np.sqrt(spread) * max(1.0, float(np.quantile(away, 0.9))) + _MARGIN
        turn, (x, y) = np.arctan2(axes[1, 1], axes[0, 1]), map(float, middle)
        height = np.hypot(long * np.sin(turn), short * np.cos(turn))
        aside = (long**2 - short**2) * np.sin(turn) * np.cos(turn) / height
        top = (float(x - aside), float(y - height))
        found[group.number] = _Outline(
            x=x, y=y, long=float(long), short=float(short), turn=float(np.degrees(turn)), top=top
        )
    return found

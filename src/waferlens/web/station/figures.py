"""The figures of agreement: of the line for everybody, of a person for that person and the quality engineer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from waferlens.storage.accounts import Role
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.shapes import NAME_PATTERN
from waferlens.web.station.shell import shell_of

router = APIRouter(include_in_schema=False)

Days = Annotated[float, Query(gt=0, le=3650)]


@router.get("/station/figures")
def figures(request: Request, days: Days = 30) -> Response:
    """The line, the person who asks, and for the quality engineer everybody."""
    review, who = service_of(request).review.figures, caller(request)
    period = review.last_days(days)
    return shell_of(request).page(
        request,
        "figures.html.j2",
        days=days,
        line=review.line(period),
        own=review.person(who, who.name, period),
        people=review.everybody(who, period) if who.role is Role.ENGINEER else None,
    )


@router.get("/station/figures/{person}")
def figures_of_person(
    request: Request, person: Annotated[str, Path(pattern=NAME_PATTERN)], days: Days = 30
) -> Response:
    """One person. Raises NotAllowed."""
    review, who = service_of(request).review.figures, caller(request)
    period = review.last_days(days)
    shown = review.person(who, person, period)
    return shell_of(request).page(request, "figures_person.html.j2", days=days, own=shown)

"""The rollout on the station: champion and challenger side by side, guardrails, history, and what moves them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request, Response

from waferlens.lifecycle.rollout import Because
from waferlens.records import DecisionKind
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.rollout_shapes import VersionName
from waferlens.web.shapes import Words
from waferlens.web.station.histogram import Histogram, axis_of, draw_histogram
from waferlens.web.station.said import back_to
from waferlens.web.station.shell import shell_of
from waferlens.wiring.rollout_view import DAYS, MOST, SideBySide, look_at_rollout
from waferlens.wiring.serve import Service

router = APIRouter(include_in_schema=False)

_HERE = "/station/rollout"
_NUM_PICTURES, _NUM_ROWS = 12, 50
Reason = Annotated[Words, Form()]
Version = Annotated[VersionName, Form()]
Percent = Annotated[float, Form(gt=0, le=50, allow_inf_nan=False)]


@router.get("/station/rollout")
def rollout(request: Request, version: Annotated[VersionName | None, Query()] = None) -> Response:
    """The page. version: compared with what decided; without one the challenger."""
    view = look_at_rollout(service_of(request), version)
    return shell_of(request).page(
        request,
        "rollout.html.j2",
        view=view,
        beside=view.side_by_side,
        kinds=list(DecisionKind),
        compared_version=version,
        days=DAYS,
        most=MOST,
        num_pictures=_NUM_PICTURES,
        num_rows=_NUM_ROWS,
        **_drawn(view.side_by_side),
    )


@router.post("/station/rollout/start")
def start(request: Request, version: Version, reason: Reason) -> Response:
    """A registered version scores every image beside the champion from now on."""
    service = service_of(request)
    service.rollout.start(version, _because(request, reason))
    return _moved(service, f"{version} is in shadow: it scores every image and decides on none.")


@router.post("/station/rollout/advance")
def advance(
    request: Request,
    version: Version,
    to: Annotated[Literal["canary", "champion"], Form()],
    reason: Reason,
    percent: Percent = 10.0,
) -> Response:
    """The challenger that the page showed becomes what the page offered; a second press finds another state."""
    service, why = service_of(request), _because(request, reason)
    if to == "canary":
        service.rollout.canary(percent / 100, why, version)
        return _moved(service, f"{version} decides on {percent:g} % of wafers.")
    service.rollout.promote(why, version)
    return _moved(service, f"{version} is champion.")


@router.post("/station/rollout/abort")
def abort(request: Request, version: Version, reason: Reason) -> Response:
    """The challenger is refused; the champion goes on alone."""
    service = service_of(request)
    service.rollout.abort(_because(request, reason), version)
    return _moved(service, f"{version} is refused; the champion goes on alone.")


@router.post("/station/rollout/rollback")
def roll_back(request: Request, to: Version, reason: Reason) -> Response:
    """A former champion decides again; nothing under way is dropped."""
    service = service_of(request)
    service.rollout.roll_back(_because(request, reason), to)
    return _moved(service, f"{to} is champion again.")


def _because(request: Request, reason: str) -> Because:
    return Because(actor=caller(request).name, reason=reason)


def _moved(service: Service, said: str) -> Response:
    """Back to the page, once this process has followed; the others on the record do within a second."""
    service.follow_rollout()
    return back_to(_HERE, said)


def _drawn(beside: SideBySide | None) -> dict[str, Any]:
    """Both histograms on one axis; None where a band is not known."""
    histograms: dict[str, Histogram | None] = {"histogram": None, "other_histogram": None}
    if beside is None or beside.band is None or beside.other_band is None:
        return histograms
    axis = axis_of([beside.scores, beside.other_scores], [beside.band, beside.other_band])
    return {
        "histogram": draw_histogram(beside.scores, beside.band, None, axis),
        "other_histogram": draw_histogram(beside.other_scores, beside.other_band, None, axis),
    }

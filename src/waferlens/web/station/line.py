"""The line at a glance: the first page, which renews itself."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from waferlens.inspection.places import MapOptions
from waferlens.monitoring.line import BUDGET_MS, LineWatch
from waferlens.records import DecisionKind
from waferlens.web.access import caller
from waferlens.web.alarms import Seq
from waferlens.web.context import service_of
from waferlens.web.station.bars import hourly_bars
from waferlens.web.station.maps import decision_map
from waferlens.web.station.said import back_to
from waferlens.web.station.shell import may_open, shell_of
from waferlens.wiring.alarms import acknowledge, clear
from waferlens.wiring.serve import Service

router = APIRouter(include_in_schema=False)

To = Annotated[str, Form(max_length=200)]


@router.get("/station")
def line(request: Request) -> Response:
    """The overview."""
    return shell_of(request).page(request, "line.html.j2", **_shown(request))


@router.get("/station/line")
def line_again(request: Request) -> Response:
    """What of it renews itself."""
    return shell_of(request).fragment(request, "line_now.html.j2", **_shown(request))


@router.post("/station/alarms/{seq}/acknowledge")
def take(request: Request, seq: Seq, to: To = "/station") -> Response:
    """Somebody has seen an alarm and looks after it. to: the page that it was done on."""
    alarm = acknowledge(service_of(request).record, seq, caller(request).name)
    return back_to(to, f"You take: {alarm.title}")


@router.post("/station/alarms/{seq}/clear")
def clear_it(request: Request, seq: Seq, to: To = "/station") -> Response:
    """The cause of an alarm is gone. to: as above."""
    alarm = clear(service_of(request).record, seq, caller(request).name)
    return back_to(to, f"Cleared: {alarm.title}")


def _shown(request: Request) -> dict[str, Any]:
    service = service_of(request)
    watch: LineWatch = request.app.state.line_watch
    now = watch.now()
    maps = {
        wafer: decision_map(points, layout_of(service, points[0].product), name=wafer, small=True)
        for wafer, points in now.wafers.items()
    }
    version = service.pool.model_version
    return {
        "now": now,
        "bars": hourly_bars(now.hours),
        "kinds": list(DecisionKind),
        "maps": maps,
        "budget_ms": BUDGET_MS,
        "model": version,
        "product": service.models.of(version).product,
        "thresholds": service.models.thresholds_of(version),
        "may_clear": may_open(request, "POST", "/station/alarms/{seq}/clear"),
        "waiting": service.review.queue.waiting(),
        "troubles": _troubles(service),
    }


def layout_of(service: Service, product: str) -> MapOptions | None:
    """How the points of a product lie on its wafer; None where nobody said."""
    known = service.settings.products.get(product)
    return None if known is None else known.map


def _troubles(service: Service) -> list[str]:
    """What is wrong now, in words, the worst first."""
    waiting, pictures = service.journal.num_waiting(), service.renderer.num_pending()
    told = (
        (not service.pool.ready, "The model is not ready: images are not inspected."),
        (
            waiting > 0,
            f"{waiting} inspections and images wait in the journal: the database or the store was lost.",
        ),
        (pictures > 100, f"{pictures} inspections have no pictures yet."),
    )
    return [words for holds, words in told if holds]

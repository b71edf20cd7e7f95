"""Wafers and lots: maps of their points, what follows from them, what a person settles and why."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response

from waferlens.decision.wafer import decide_wafer
from waferlens.errors import NotFound
from waferlens.records import DecisionKind
from waferlens.storage.histories import newest_disposition
from waferlens.storage.inspections import recent_wafers
from waferlens.storage.overview import newest_dispositions, points_of_lot, points_of_wafers, recent_lots
from waferlens.storage.review_verdicts import held_decisions
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.shapes import WaferId
from waferlens.web.station.line import layout_of
from waferlens.web.station.maps import decision_map, stacked_map
from waferlens.web.station.said import back_to
from waferlens.web.station.shell import shell_of
from waferlens.web.wafers import settle_wafer

router = APIRouter(include_in_schema=False)

_LAST = 20_000
_SHOWN = 60


@router.get("/station/wafers")
def wafers(request: Request) -> Response:
    """The wafers and lots that were seen lately."""
    service = service_of(request)
    with service.record.database.reading() as connection:
        lots = recent_lots(connection, num_inspections=_LAST)
        seen = [found[0] for found in recent_wafers(connection, num_inspections=_LAST)[:_SHOWN]]
        points = points_of_wafers(connection, seen)
        settled = newest_dispositions(connection, seen)
    maps = {
        wafer: decision_map(points[wafer], layout_of(service, points[wafer][0].product), name=wafer, small=True)
        for wafer in seen
    }
    return shell_of(request).page(request, "wafers.html.j2", lots=lots, maps=maps, points=points, settled=settled)


@router.get("/station/wafers/{wafer_id}")
def wafer(request: Request, wafer_id: WaferId, by: Literal["decision", "score"] = "decision") -> Response:
    """One wafer: its map, its points in doubt, its disposition with who and why."""
    service = service_of(request)
    with service.record.database.reading() as connection:
        points = points_of_wafers(connection, [wafer_id]).get(wafer_id)
        settled = newest_disposition(connection, wafer_id)
        held = held_decisions(connection, wafer_id)
    if not points:
        raise NotFound("no such wafer", found=wafer_id)
    product = points[-1].product
    decided = decide_wafer(held, service.settings.num_points().get(product))
    drawn = decision_map(points, layout_of(service, product), name=wafer_id, by_score=by == "score", links=True)
    doubtful = [point for point in points if point.decision is not DecisionKind.PASS]
    return shell_of(request).page(
        request,
        "wafer.html.j2",
        wafer_id=wafer_id,
        map=drawn,
        by=by,
        points=points,
        doubtful=sorted(doubtful, key=lambda point: (point.decision is DecisionKind.REVIEW, -(point.score or 0))),
        decided=decided,
        held=held,
        settled=settled,
        kinds=list(DecisionKind),
    )


@router.post("/station/wafers/{wafer_id}/disposition")
def settle(
    request: Request,
    wafer_id: WaferId,
    disposition: Annotated[DecisionKind, Form()],
    reason: Annotated[str, Form(min_length=1, max_length=500)],
) -> Response:
    """Settle a wafer; the audit log names who and why."""
    settle_wafer(service_of(request), caller(request).name, wafer_id, disposition, reason)
    return back_to(f"/station/wafers/{wafer_id}", f"{wafer_id} is settled as {disposition}.")


@router.get("/station/lots/{lot_id}")
def lot(request: Request, lot_id: WaferId) -> Response:
    """A lot: its wafers laid on each other, and one by one."""
    service = service_of(request)
    with service.record.database.reading() as connection:
        stacked = points_of_lot(connection, lot_id)
        settled = newest_dispositions(connection, list(stacked))
    if not stacked:
        raise NotFound("no such lot", found=lot_id)
    product = next(iter(stacked.values()))[0].product
    layout = layout_of(service, product)
    return shell_of(request).page(
        request,
        "lot.html.j2",
        lot_id=lot_id,
        product=product,
        stack=stacked_map(stacked, layout, name=lot_id),
        maps={wafer: decision_map(points, layout, name=wafer, small=True) for wafer, points in stacked.items()},
        points=stacked,
        settled=settled,
    )

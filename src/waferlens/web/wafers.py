"""Wafers: the points of each, what follows from them, what a person settled; products and hourly counts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from waferlens.decision.wafer import decide_wafer
from waferlens.errors import NotFound
from waferlens.records import DecisionKind
from waferlens.storage.histories import Disposition, add_disposition, newest_disposition
from waferlens.storage.inspections import hourly_counts, points_of_wafer, recent_wafers
from waferlens.storage.stored import DAY_MS, HOUR_MS, clock_ms
from waferlens.web.access import caller
from waferlens.web.answers import answer_of
from waferlens.web.context import service_of
from waferlens.web.shapes import (
    HourlyCounts,
    InspectionAnswer,
    SettleWafer,
    SinceMs,
    UntilMs,
    WaferAnswer,
    WaferId,
    WaferLine,
)
from waferlens.wiring.serve import Service

router = APIRouter(tags=["record"])

_MAX_HOURS = 24 * 31


@router.get("/api/v1/wafers")
def wafers(request: Request, last: Annotated[int, Query(ge=1, le=20_000)] = 5_000) -> list[WaferLine]:
    """The wafers among the last so many inspections, newest first."""
    with service_of(request).record.database.reading() as connection:
        found = recent_wafers(connection, num_inspections=last)
    return [WaferLine(wafer_id=wafer, received_ms=at, num_inspections=count) for wafer, at, count in found]


@router.get("/api/v1/wafers/{wafer_id}")
def wafer(request: Request, wafer_id: WaferId) -> WaferAnswer:
    """Every point's last inspection and the wafer's own disposition: never better than its worst point."""
    return wafer_answer(service_of(request), wafer_id)


@router.post("/api/v1/wafers/{wafer_id}/disposition")
def settle(request: Request, wafer_id: WaferId, told: SettleWafer) -> WaferAnswer:
    """Settle a wafer. What the points say stays beside it; the audit log names who and why."""
    service = service_of(request)
    settle_wafer(service, caller(request).name, wafer_id, told.disposition, told.reason)
    return wafer_answer(service, wafer_id)


@router.get("/api/v1/counts")
def counts(request: Request, since_ms: SinceMs = None, until_ms: UntilMs = None) -> list[HourlyCounts]:
    """Inspections an hour and decision; of the last day, if nothing is said. At most a month."""
    until = until_ms if until_ms is not None else clock_ms() + 1
    since = since_ms if since_ms is not None else until - DAY_MS
    since = max(since, until - _MAX_HOURS * HOUR_MS)
    with service_of(request).record.database.reading() as connection:
        found = hourly_counts(connection, since_ms=since, until_ms=until)
    hours: dict[int, dict[DecisionKind, int]] = {}
    for count in found:
        hours.setdefault(count.hour_ms, dict.fromkeys(DecisionKind, 0))[count.decision] = count.num_inspections
    return [HourlyCounts(hour_ms=hour, counts=decisions) for hour, decisions in hours.items()]


@router.get("/api/v1/products")
def products(request: Request) -> dict[str, int | None]:
    """The products that may be inspected and how many points a wafer of each has; empty: every product."""
    return service_of(request).settings.num_points()


def settle_wafer(service: Service, who: str, wafer_id: str, kind: DecisionKind, reason: str) -> None:
    """What a person says about a wafer, beside what its points say. Raises NotFound, DatabaseLost."""
    with service.record.database.writing() as connection:
        points = points_of_wafer(connection, wafer_id)
        if not points:
            raise NotFound("no such wafer", found=wafer_id)
        settled = Disposition(
            wafer_id=wafer_id,
            settled_ms=clock_ms(),
            disposition=kind,
            num_points=len(points),
            reason=reason,
            settled_by=who,
        )
        add_disposition(connection, settled)
        detail = {"wafer": wafer_id, "disposition": str(kind), "reason": reason}
        entry = service.record.audit.append(connection, who, "wafer settled", detail)
    service.record.audit.note_head(entry)


def wafer_answer(service: Service, wafer_id: str) -> WaferAnswer:
    """A wafer as it stands. Raises NotFound, DatabaseLost."""
    with service.record.database.reading() as connection:
        points = points_of_wafer(connection, wafer_id)
        settled = newest_disposition(connection, wafer_id)
    if not points:
        raise NotFound("no such wafer", found=wafer_id)
    decided = decide_wafer(
        {point.inspection_point: point.decision for point in points},
        service.settings.num_points().get(points[-1].product),
    )
    return WaferAnswer(
        wafer_id=wafer_id,
        disposition=decided.kind,
        reason=decided.reason,
        complete=decided.complete,
        num_points=decided.num_points,
        num_expected=decided.num_expected,
        settled=None if settled is None else vars(settled) | {"disposition": str(settled.disposition)},
        points=[InspectionAnswer(**answer_of(point)) for point in points],
    )

"""What is recorded: inspections by filter and page, their pictures, their originals."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from waferlens.errors import NotFound
from waferlens.records import DecisionKind
from waferlens.storage.inspections import InspectionFilter, find_inspection, newest_at_point, page_of_inspections
from waferlens.storage.stored import StoredInspection
from waferlens.web.answers import answer_of
from waferlens.web.context import service_of
from waferlens.web.shapes import (
    NAME_PATTERN,
    InspectionAnswer,
    InspectionId,
    InspectionPage,
    Limit,
    SinceMs,
    UntilMs,
)
from waferlens.wiring.serve import Service

router = APIRouter(tags=["record"])

_NEVER_CHANGES = {"Cache-Control": "private, max-age=86400, immutable"}
_PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "A PNG file."}}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The bytes that were posted."}
}


@router.get("/api/v1/inspections")
def inspections(
    request: Request,
    decision: DecisionKind | None = None,
    wafer_id: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
    product: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
    failed: Annotated[
        bool | None, Query(description="Only those where something went wrong, or none of them.")
    ] = None,
    since_ms: SinceMs = None,
    until_ms: UntilMs = None,
    limit: Limit = 50,
    before: Annotated[
        str | None, Query(pattern=r"^[0-9a-f]{32}$", description="``next`` of the last page.")
    ] = None,
) -> InspectionPage:
    """Inspections, newest first, page by page."""
    which = InspectionFilter(
        decision=decision,
        wafer_id=wafer_id,
        product=product,
        failed=failed,
        since_ms=since_ms,
        until_ms=until_ms,
    )
    with service_of(request).record.database.reading() as connection:
        found = page_of_inspections(connection, which, limit=limit, before_id=before)
    return InspectionPage(
        inspections=[InspectionAnswer(**answer_of(each)) for each in found],
        next=found[-1].id if len(found) == limit else None,
    )


@router.get("/api/v1/inspections/{inspection_id}")
def inspection(request: Request, inspection_id: InspectionId) -> InspectionAnswer:
    """One inspection, as it was answered."""
    return InspectionAnswer(**answer_of(_find(service_of(request), inspection_id)))


@router.get("/api/v1/inspections/{inspection_id}/heatmap.png", response_class=Response, responses=_PNG)
def heatmap(request: Request, inspection_id: InspectionId) -> Response:
    """Where the image departs from normal: fixed colours of the bundle, their scale beside it."""
    service = service_of(request)
    data = service.renderer.heatmap_of(_find(service, inspection_id))
    return Response(data, media_type="image/png", headers=_NEVER_CHANGES)


@router.get("/api/v1/inspections/{inspection_id}/reconstruction.png", response_class=Response, responses=_PNG)
def reconstruction(request: Request, inspection_id: InspectionId) -> Response:
    """What a normal wafer would look like here."""
    service = service_of(request)
    data = service.renderer.reconstruction_of(_find(service, inspection_id))
    return Response(data, media_type="image/png", headers=_NEVER_CHANGES)


@router.get("/api/v1/inspections/{inspection_id}/original", response_class=Response, responses=_BYTES)
def original(request: Request, inspection_id: InspectionId) -> Response:
    """The file that was posted, byte for byte."""
    service = service_of(request)
    data = service.recorder.get_blob(_find(service, inspection_id).original)
    headers = _NEVER_CHANGES | {"Content-Disposition": f'attachment; filename="{inspection_id}"'}
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.get("/api/v1/heatmaps/{name}", response_class=Response, responses=_PNG)
def heatmap_of_point(
    request: Request, name: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}-\d{1,6}\.png$")]
) -> Response:
    """The heatmap of the newest inspection of a point: ``WAFER-POINT.png``."""
    wafer_id, _, point = name.removesuffix(".png").rpartition("-")
    service = service_of(request)
    with service.record.database.reading() as connection:
        found = newest_at_point(connection, wafer_id, int(point))
    if found is None:
        raise NotFound("no such heatmap", found=name)
    return Response(
        service.renderer.heatmap_of(found), media_type="image/png", headers={"Cache-Control": "no-store"}
    )


def _find(service: Service, inspection_id: str) -> StoredInspection:
    """From the journal first: it answers also while the database is lost."""
    waiting = service.journal.find(inspection_id)
    if waiting is not None:
        return waiting
    with service.record.database.reading() as connection:
        found = find_inspection(connection, inspection_id)
    if found is None:
        raise NotFound("no such inspection", found=inspection_id)
    return found

"""Alive, ready, and measured."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from waferlens.errors import StorageError
from waferlens.web.context import service_of
from waferlens.web.problems import problem

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz", response_model=dict[str, str])
def readyz(request: Request) -> Response | dict[str, str]:
    """An image sent now would be inferred and recorded. What waits in the journal is said, and is still ready."""
    service = service_of(request)
    if not service.pool.ready:
        return problem(503, "the model is not ready")
    told = {"status": "ready", "database": "ok", "blobs": "ok", "model_version": service.pool.model_version}
    for part, ping in (("database", service.record.database.ping), ("blobs", service.record.blobs.ping)):
        try:
            ping()
        except StorageError as error:
            told[part] = f"lost, the journal takes its place: {error.what}"
    return told


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(
        service_of(request).metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )

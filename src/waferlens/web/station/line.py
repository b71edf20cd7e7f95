"""The line at a glance: the first page, which renews itself."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request, Response

from waferlens.storage.inspections import HOUR_MS, hourly_counts
from waferlens.web.context import service_of
from waferlens.web.station.shell import shell_of

router = APIRouter(include_in_schema=False)


@router.get("/station")
def line(request: Request) -> Response:
    """The overview."""
    now_ms = time.time_ns() // 1_000_000
    with service_of(request).record.database.reading() as connection:
        counts = hourly_counts(connection, since_ms=now_ms - 12 * HOUR_MS, until_ms=now_ms + 1)
    return shell_of(request).page(request, "line.html.j2", counts=counts)

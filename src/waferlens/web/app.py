"""The application: routes, the one check of access, the one shape of errors, headers of every answer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders

from waferlens import __version__
from waferlens.errors import StorageError
from waferlens.monitoring.line import LineWatch
from waferlens.monitoring.logs import REQUEST_ID, request_id_of
from waferlens.storage.sessions import Sessions
from waferlens.web import alarms, docs, health, inspecting, models, people, recorded, rollouts, wafers
from waferlens.web.access import Gate, check_access, check_table
from waferlens.web.problems import answer_with_problems
from waferlens.web.station.pages import all_pages
from waferlens.web.station.shell import Shell
from waferlens.web.station.troubles import trouble
from waferlens.web.tracing import Traced
from waferlens.wiring.following import FOLLOW_SECONDS
from waferlens.wiring.serve import Service

_LOG = logging.getLogger("waferlens.request")
_BANDS_EVERY = 4
"""Looks at the rollout between two looks at the bands."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    ),
}
_DESCRIPTION = """Wafer surface inspection: post an image, get PASS, REVIEW or REJECT with its record.

Send a key as `Authorization: Bearer KEY`. Errors are problem details (RFC 9457). Nothing is answered from a cache.
"""

_ROUTERS = tuple(
    part.router for part in (inspecting, recorded, wafers, alarms, models, rollouts, people, health, docs)
)

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


def build_app(service: Service) -> FastAPI:
    """The application over a running service. It does not close the service."""
    app = FastAPI(
        title="waferlens",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(check_access)],
        lifespan=_following,
    )
    routers = _ROUTERS + all_pages()
    for router in routers:
        app.include_router(router)
    app.state.service = service
    app.state.gate = Gate(service.record.accounts)
    idle_seconds = 60 * service.settings.station.idle_minutes
    app.state.sessions = Sessions(service.record.database, service.record.audit, idle_seconds)
    app.state.shell = Shell(idle_seconds)
    app.state.line_watch = LineWatch(service.record.database)
    app.state.executor = ThreadPoolExecutor(
        service.settings.inspection.max_waiting + 8, thread_name_prefix="inspect"
    )
    answer_with_problems(app, trouble)
    check_table(routers)
    if service.metrics.traces is not None:
        app.add_middleware(Traced, traces=service.metrics.traces)
    app.add_middleware(_EveryAnswer, service=service)
    _describe_keys(app)
    return app


class _EveryAnswer:
    """Counts answers and puts the headers of safety on them."""

    def __init__(self, app: Any, service: Service) -> None:
        self._app, self._metrics = app, service.metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        sent = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = request_id_of(sent)
        told = REQUEST_ID.set(request_id)

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            seconds, route = time.perf_counter() - started, getattr(scope.get("route"), "path", "none")
            self._metrics.answered(scope["method"], route, status, seconds)
            _LOG.log(
                logging.WARNING if status >= 500 else logging.DEBUG if status < 400 else logging.INFO,
                *("%s %s answered %d in %.1f ms", scope["method"], route, status, 1e3 * seconds),
            )
            REQUEST_ID.reset(told)


@contextlib.asynccontextmanager
async def _following(app: FastAPI) -> AsyncIterator[None]:
    """While the application runs, take over what other processes on the same record set."""
    following = asyncio.create_task(_follow(app.state.service))
    try:
        yield
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def _follow(service: Service) -> None:
    checks_every = max(1, round(service.settings.guardrails.check_seconds / FOLLOW_SECONDS))
    for look in itertools.count(1):
        await asyncio.sleep(FOLLOW_SECONDS)
        with contextlib.suppress(StorageError):
            if look % checks_every == 0:
                await run_in_threadpool(service.guard.check)
            await run_in_threadpool(service.follow_rollout)
            if look % _BANDS_EVERY == 0:
                await run_in_threadpool(service.follow_bands)
                await run_in_threadpool(service.figures.refresh)


def _describe_keys(app: FastAPI) -> None:
    """Tell the OpenAPI page how a key is sent."""
    made = app.openapi()
    made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"key": []}]

"""The application: routes, the one check of access, the one shape of errors, headers of every answer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders

from waferlens import __version__
from waferlens.errors import StorageError
from waferlens.web import docs, health, inspecting, models, people, recorded, rollouts, wafers
from waferlens.web.access import Gate, check_access, check_table
from waferlens.web.problems import answer_with_problems
from waferlens.wiring.following import FOLLOW_SECONDS
from waferlens.wiring.serve import Service

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

_ROUTERS = tuple(part.router for part in (inspecting, recorded, wafers, models, rollouts, people, health, docs))

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
    for router in _ROUTERS:
        app.include_router(router)
    app.state.service = service
    app.state.gate = Gate(service.record.accounts)
    app.state.executor = ThreadPoolExecutor(
        service.settings.inspection.max_waiting + 8, thread_name_prefix="inspect"
    )
    answer_with_problems(app)
    check_table(_ROUTERS)
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

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.answered(scope["method"], route, status, time.perf_counter() - started)


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


def _describe_keys(app: FastAPI) -> None:
    """Tell the OpenAPI page how a key is sent."""
    made = app.openapi()
    made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"key": []}]

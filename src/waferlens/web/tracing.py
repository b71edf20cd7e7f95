"""A span for each request, where traces are collected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from waferlens.monitoring.logs import REQUEST_ID
from waferlens.monitoring.traces import Traces

Message = dict[str, Any]


class Traced:
    """Puts every request into a span; inside of what gives it its id."""

    def __init__(self, app: Any, traces: Traces) -> None:
        self._app, self._traces = app, traces

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._traces.request(scope["method"], headers) as span:
            try:
                await self._app(scope, receive, noting)
            finally:
                route = getattr(scope.get("route"), "path", "none")
                self._traces.answered(span, scope["method"], route, status, REQUEST_ID.get())

"""How a handler reaches what it was built on: through the application that carries the request, nothing global."""

from __future__ import annotations

from fastapi import Request

from waferlens.wiring.serve import Service


def service_of(request: Request) -> Service:
    """The running service."""
    service: Service = request.app.state.service
    return service

"""Runs the application with uvicorn: loopback unless told otherwise, TLS when certificate and key are given."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

_SWITCH_SECONDS = 0.0005


def run_server(
    app: FastAPI, *, host: str, port: int, tls_certificate: Path | None = None, tls_key: Path | None = None
) -> None:
    """Serve until the process is told to end; requests that were begun are finished."""
    # A thread that draws may hold the interpreter for 5 ms by default, a tenth of the line's budget.
    sys.setswitchinterval(_SWITCH_SECONDS)
    uvicorn.run(
        app,
        host=host,
        port=port,
        ssl_certfile=None if tls_certificate is None else str(tls_certificate),
        ssl_keyfile=None if tls_key is None else str(tls_key),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=20,
        h11_max_incomplete_event_size=16_384,
        limit_concurrency=1024,
    )

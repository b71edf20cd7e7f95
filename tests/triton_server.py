"""Runs the real Triton server of `make triton` on loopback, in processes that a test may kill.

The wheel of nvidia-pytriton holds server and Python backend, and leaves three things to whoever starts them:
the backend's stub must stand beside it, two folders must be on the library path, and the environment that the
stub runs models in must be named in the configuration.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

from loopback import free_ports

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".venv-triton"
_PACKAGES = ENVIRONMENT / "lib" / "python3.11" / "site-packages"
_SERVER = _PACKAGES / "pytriton" / "tritonserver"
_SHARED = Path("/dev/shm")
_SHARED_PREFIX = "triton_python_backend_shm_region_"


def is_installed() -> bool:
    return (_SERVER / "bin" / "tritonserver").exists()


def prepare_backends(folder: Path) -> Path:
    """The Python backend with its stub beside it."""
    python = folder / "python"
    if not python.exists():
        shutil.copytree(_SERVER / "backends" / "python", python)
        shutil.copy(_SERVER / "python_backend_stubs" / "3.11" / "triton_python_backend_stub", python)
    return folder


class TritonServer:
    """One replica. The same ports after a restart, as on a real machine."""

    def __init__(self, repository: Path, model: str, backends: Path, log: Path):
        self.http_port, self.grpc_port = free_ports(2)
        self._repository, self._model, self._backends, self._log = repository, model, backends, log
        self._process: subprocess.Popen[bytes] | None = None
        self._regions: set[Path] = set()

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc(self) -> str:
        return f"grpc://127.0.0.1:{self.grpc_port}"

    @property
    def ready_path(self) -> str:
        return f"/v2/models/{self._model}/ready"

    def start(self) -> None:
        """Returns before the model is loaded; see ``wait``."""
        assert self._process is None
        self._before = _regions()
        libraries = [sysconfig.get_config_var("LIBDIR"), str(_PACKAGES / "nvidia_pytriton.libs")]
        told = {
            "model-repository": self._repository,
            "backend-directory": self._backends,
            "model-control-mode": "explicit",
            "load-model": self._model,
            "http-address": "127.0.0.1",
            "http-port": self.http_port,
            "grpc-address": "127.0.0.1",
            "grpc-port": self.grpc_port,
            "allow-metrics": "false",
            "exit-timeout-secs": 5,
        }
        environment = {"LD_LIBRARY_PATH": ":".join(libraries), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [_SERVER / "bin" / "tritonserver", *(f"--{key}={value}" for key, value in told.items())],
                env=os.environ | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its Python stubs outlive it otherwise when it is killed
            )

    def wait(self, seconds: float = 90) -> None:
        """Until the model answers its ready path. Fails with the end of the log."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            if self.is_ready():
                self._regions |= _regions() - self._before
                return
            time.sleep(0.1)
        raise AssertionError(f"Triton is not ready:\n{self._log.read_text(errors='replace')[-3000:]}")

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=1)
        try:
            connection.request("GET", self.ready_path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """As a power cut would: no goodbye, and shared memory left behind, which is removed here."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """The process stands still: connections are accepted by the kernel, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process = None
        for region in self._regions:
            region.unlink(missing_ok=True)
        self._regions = set()


def _regions() -> set[Path]:
    return set(_SHARED.glob(f"{_SHARED_PREFIX}*"))

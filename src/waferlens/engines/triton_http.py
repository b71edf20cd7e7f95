"""Triton over HTTP: the client library's encoding over plain connections of our own.

The library's HTTP client belongs to one thread and waits by a clock of its own; a deadline that many threads
keep needs connections that are shared and a limit on every read.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import Any
from urllib.parse import quote

from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from waferlens.engines.interface import ModelInput, Outputs
from waferlens.engines.triton_endpoint import (
    EndpointBusy,
    EndpointDown,
    EndpointLate,
    RemoteModel,
    configuration_with,
    filled_input,
    is_refusal,
    outputs_of,
)
from waferlens.engines.triton_names import OUTPUTS

_HEADER_LENGTH = "Inference-Header-Content-Length"
_MAX_IDLE = 32


class HttpEndpoint:
    """See ``Endpoint``."""

    def __init__(self, host: str, port: int) -> None:
        self.url = f"http://{host}:{port}"
        self._host, self._port = host, port
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()

    def infer(self, model: RemoteModel, images: ModelInput, seconds: float) -> Outputs:
        """See ``Endpoint.infer``."""
        body, json_size = InferenceServerClient.generate_request_body(
            [filled_input(InferInput, images, binary_data=True)],
            outputs=[InferRequestedOutput(name, binary_data=True) for name in OUTPUTS],
            timeout=max(1, int(1e6 * seconds)),
        )
        headers = {} if json_size is None else {_HEADER_LENGTH: str(json_size)}
        status, told, answer = self._ask("POST", f"{_path(model)}/infer", seconds, body, headers)
        if status != 200:
            raise _error(self.url, status, answer)
        try:
            result = InferenceServerClient.parse_response_body(answer, header_length=int(told[_HEADER_LENGTH]))
            return outputs_of(result, str(result.get_response()["model_version"]), model, len(images))
        except (KeyError, TypeError, ValueError) as error:
            raise EndpointDown(f"{self.url} does not answer as Triton does", found=repr(error)) from error

    def is_ready(self, model: RemoteModel, seconds: float) -> bool:
        """See ``Endpoint.is_ready``. On a connection of its own: an idle one may lead to a server that is gone."""
        try:
            return self._exchange(self._connect(), "GET", f"{_path(model)}/ready", seconds, None, {})[0] == 200
        except (OSError, http.client.HTTPException, EndpointLate):
            return False

    def load(self, model: RemoteModel, seconds: float) -> None:
        """See ``Endpoint.load``.

        On a connection of its own: the server's thread that loads answers nobody else meanwhile, and so holds up
        every connection that it has. One of them may still carry images; over gRPC none does.
        """
        end, name = time.monotonic() + seconds, quote(model.name, safe="")
        status, _, answer = self._ask("GET", f"/v2/models/{name}/config", seconds, None, {})
        told = {}  # a server that serves no version of it takes the configuration of its repository
        if status == 200:
            told = {"parameters": {"config": configuration_with(json.loads(answer), model)}}
        path, body = f"/v2/repository/models/{name}/load", json.dumps(told).encode()
        connection = self._connect()
        try:
            status, _, answer = self._exchange(connection, "POST", path, end - time.monotonic(), body, {})
        except (OSError, http.client.HTTPException) as error:
            raise EndpointDown(f"{self.url} cannot be reached", found=str(error) or repr(error)) from error
        if status != 200:
            raise _error(self.url, status, answer)

    def close(self) -> None:
        """See ``Endpoint.close``."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _ask(
        self, method: str, path: str, seconds: float, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, Any, bytes]:
        end = time.monotonic() + seconds
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is not None:
            try:
                return self._exchange(connection, method, path, end - time.monotonic(), body, headers)
            except (OSError, http.client.HTTPException):
                # Closed by the server since it was last used, or the server is gone: a new connection tells which.
                self.close()
        try:
            return self._exchange(self._connect(), method, path, end - time.monotonic(), body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise EndpointDown(f"{self.url} cannot be reached", found=str(error) or repr(error)) from error

    def _exchange(
        self,
        connection: _Connection,
        method: str,
        path: str,
        seconds: float,
        body: bytes | None,
        headers: dict[str, str],
    ) -> tuple[int, Any, bytes]:
        """One request and its whole answer. The connection is kept for the next one only if all went well."""
        connection.end = time.monotonic() + seconds
        kept = False
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            kept = connection.sock is not None  # None once the server said that it closes
            return response.status, response.headers, answer
        except TimeoutError as error:
            raise EndpointLate(f"{self.url} did not answer", expected=f"within {1e3 * seconds:.0f} ms") from error
        finally:
            with self._lock:
                kept = kept and len(self._idle) < _MAX_IDLE
                if kept:
                    self._idle.append(connection)
            if not kept:
                connection.close()

    def _connect(self) -> _Connection:
        return _Connection(self._host, self._port)


class _Connection(http.client.HTTPConnection):
    """A connection whose waits all end at ``end``, a time of ``time.monotonic``, however the data trickle in."""

    end = 0.0

    def left(self) -> float:
        """Seconds until ``end``. Raises TimeoutError when there are none."""
        seconds = self.end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("no time left")
        return seconds

    def connect(self) -> None:
        """See ``HTTPConnection.connect``."""
        with socket.create_connection((self.host, self.port), self.left()) as made:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = _TimedSocket(self, made.detach())

    def send(self, data: Any) -> None:
        """See ``HTTPConnection.send``. The limit holds for all of the data."""
        if self.sock is not None:
            self.sock.settimeout(self.left())
        super().send(data)


class _TimedSocket(socket.socket):
    def __init__(self, connection: _Connection, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self._connection = connection
        self.settimeout(connection.left())

    def recv_into(self, *told: Any) -> int:
        self.settimeout(self._connection.left())
        return super().recv_into(*told)


def _path(model: RemoteModel) -> str:
    return f"/v2/models/{quote(model.name, safe='')}/versions/{model.number}"


def _error(url: str, status: int, answer: bytes) -> EndpointDown | EndpointBusy:
    text = " ".join(answer[:500].decode("utf-8", "replace").split())
    if is_refusal(text):
        return EndpointBusy(f"{url} refused", found=text)
    return EndpointDown(f"{url} answered {status}", expected="200", found=text)

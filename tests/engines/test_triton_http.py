"""An HTTP endpoint keeps its time whatever the other side does, and calls each fault by its name."""

from __future__ import annotations

import json
import socket
import threading
import time

import numpy as np
import pytest

from waferlens.engines.triton_endpoint import EndpointBusy, EndpointDown, EndpointLate, RemoteModel
from waferlens.engines.triton_http import HttpEndpoint
from waferlens.engines.triton_names import OUTPUTS

MODEL = RemoteModel(name="wafer", version="v0.1.0", input_type="uint8")
IMAGES = np.zeros((1, 1, 256, 256), np.uint8)
SHAPES = ([1, 1, 256, 256], [1, 1, 256, 256], [1, 1], [1, 1], [1, 128])


def answer(version="1000", outputs=OUTPUTS, status="200 OK") -> bytes:
    """What Triton sends: a JSON head and the arrays behind it."""
    told = dict(zip(OUTPUTS, SHAPES, strict=True))
    head = {
        "model_name": "wafer",
        "model_version": version,
        "outputs": [
            {
                "name": name,
                "datatype": "FP32",
                "shape": told[name],
                "parameters": {"binary_data_size": 4 * int(np.prod(told[name]))},
            }
            for name in outputs
        ],
    }
    text = json.dumps(head).encode()
    body = text + b"".join(np.full(told[name], 5, np.float32).tobytes() for name in outputs)
    return http(body, status, f"Inference-Header-Content-Length: {len(text)}\r\n")


def http(body: bytes, status="200 OK", more="") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


class Scripted:
    """A server that reads a request whole and then does what a test says, with one connection after the other."""

    def __init__(self, *acts):
        self._acts = list(acts)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.num_connections = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while self._acts:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.num_connections += 1
            with connection:
                keep = True
                while self._acts and keep:
                    if not self._read(connection):
                        break
                    keep = self._acts.pop(0)(connection)

    def _read(self, connection) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return False
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        while len(rest) < length:
            rest += connection.recv(65536)
        return True

    def close(self):
        self._socket.close()
        self._thread.join(5)


def say(data: bytes, keep=True):
    def act(connection):
        connection.sendall(data)
        return keep

    return act


def drip(data: bytes, seconds: float):
    def act(connection):
        for start in range(0, len(data), 64):
            try:
                connection.sendall(data[start : start + 64])
            except OSError:
                return False
            time.sleep(seconds)
        return False

    return act


def silence(connection):
    time.sleep(1.0)
    return False


@pytest.fixture
def serve():
    opened = []

    def build(*acts):
        server = Scripted(*acts)
        endpoint = HttpEndpoint("127.0.0.1", server.port)
        opened.extend([endpoint, server])
        return server, endpoint

    yield build
    for each in opened:
        each.close()


def test_a_whole_answer_is_read_and_the_connection_is_used_again(serve):
    server, endpoint = serve(say(answer()), say(answer()), say(answer()))
    for _ in range(3):
        outputs = endpoint.infer(MODEL, IMAGES, 5.0)
        assert [output.shape for output in outputs] == [(1, 1, 256, 256), (1, 1, 256, 256), (1,), (1,), (1, 128)]
        assert all((output == 5).all() for output in outputs)
    assert server.num_connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_without_a_word(serve):
    server, endpoint = serve(say(answer(), keep=False), say(answer()))
    for _ in range(2):
        endpoint.infer(MODEL, IMAGES, 5.0)
        time.sleep(0.05)
    assert server.num_connections == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        answer()[:1000],
        http(b"{}"),
        http(b"not json at all", more="Inference-Header-Content-Length: 15\r\n"),
        http(b"{}", more="Inference-Header-Content-Length: two\r\n"),
        answer(version="2000"),
        answer(outputs=OUTPUTS[:4]),
        http(b'{"error":"Request for unknown model"}', status="404 Not Found"),
        http(b"<html>503 no server is available</html>", status="503 Service Unavailable"),
    ],
    ids=[
        "closed",
        "no http",
        "torn",
        "no arrays",
        "no json",
        "no length",
        "version",
        "output",
        "unknown",
        "proxy",
    ],
)
def test_what_is_no_answer_of_this_model_means_that_the_server_is_down(serve, data):
    _, endpoint = serve(say(data, keep=False))
    with pytest.raises(EndpointDown):
        endpoint.infer(MODEL, IMAGES, 5.0)


@pytest.mark.parametrize(
    "message", ["Exceeds maximum queue size", "[request id: 7] Request timeout expired in queue"]
)
def test_a_refusal_of_the_queue_policy_means_that_the_server_is_busy(serve, message):
    _, endpoint = serve(say(http(json.dumps({"error": message}).encode(), status="503 Service Unavailable")))
    with pytest.raises(EndpointBusy):
        endpoint.infer(MODEL, IMAGES, 5.0)


@pytest.mark.parametrize(
    "act",
    [silence, drip(answer(), 0.02), drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 60000, 0.02)],
    ids=["silent", "dripping", "dripping heads"],
)
def test_a_server_that_is_slow_costs_no_more_than_the_time_given(serve, act):
    _, endpoint = serve(act)
    started = time.monotonic()
    with pytest.raises(EndpointLate):
        endpoint.infer(MODEL, IMAGES, 0.2)
    assert time.monotonic() - started < 0.4
    assert not HttpEndpoint("127.0.0.1", 9).is_ready(MODEL, 0.2)


def test_nobody_there_is_down_at_once():
    started = time.monotonic()
    with pytest.raises(EndpointDown, match="cannot be reached"):
        HttpEndpoint("127.0.0.1", 9).infer(MODEL, IMAGES, 5.0)
    assert time.monotonic() - started < 1.0


@pytest.mark.parametrize(
    ("data", "ready"), [(http(b""), True), (http(b"", "400 Bad Request"), False), (b"", False)]
)
def test_only_200_on_the_versions_own_path_is_ready(serve, data, ready):
    _, endpoint = serve(say(data, keep=False))
    assert endpoint.is_ready(MODEL, 2.0) is ready

"""HAProxy, as `deploy` configures it, before four API workers: who is asked, and what a dying worker costs."""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from deploy_files import DEPLOY, self_signed, variables

from loopback import free_ports
from programs import haproxy

pytestmark = pytest.mark.slow

WORKER = """
import http.server, pathlib, sys

class Worker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status):
        body = sys.argv[1].encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(503 if pathlib.Path(sys.argv[2]).exists() else 200)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Worker)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


class Door:
    """Four workers, each a process that a test may end or call unready, and the door before them."""

    def __init__(self, folder: Path):
        self.unready = [folder / f"unready-{number}" for number in range(4)]
        self.workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, f"worker-{number}", str(self.unready[number])],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for number in range(4)
        ]
        ports = [int(worker.stdout.readline()) for worker in self.workers]
        certificate = self_signed(folder / "api.pem")
        self.trust = ssl.create_default_context(cafile=str(certificate))
        told = variables(DEPLOY / "env" / "haproxy.env")
        told |= {f"API_WORKER_{number + 1}": f"127.0.0.1:{port}" for number, port in enumerate(ports)}
        self.port, *others = free_ports(3)
        told |= {"HAPROXY_API": f"127.0.0.1:{self.port}", "HAPROXY_CERTIFICATE": str(certificate)}
        told |= {"HAPROXY_HTTP": f"127.0.0.1:{others[0]}", "HAPROXY_GRPC": f"127.0.0.1:{others[1]}"}
        told["HAPROXY_SOCKET"] = str(folder / "admin.sock")
        program = haproxy()
        files = [part for name in ("haproxy.cfg", "api.cfg") for part in ("-f", str(DEPLOY / "haproxy" / name))]
        with (folder / "haproxy.log").open("wb") as log:
            self.proxy = subprocess.Popen(
                [program, "-db", *files], env=os.environ | told, stdout=log, stderr=subprocess.STDOUT
            )

    def post(self) -> tuple[int, str]:
        """Status and the worker that answered, on a connection of its own."""
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.trust, timeout=10)
        try:
            connection.request("POST", "/api/v1/inspect", b"x" * 65536)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def until(self, condition, seconds=8.0):
        end = time.monotonic() + seconds
        while True:
            try:
                if condition(Counter(self.post() for _ in range(12))):
                    return
            except OSError:
                pass
            assert time.monotonic() < end
            time.sleep(0.05)

    def close(self):
        for process in (self.proxy, *self.workers):
            process.kill()
            process.wait(10)
        for worker in self.workers:
            worker.stdout.close()


@pytest.fixture
def door(tmp_path):
    built = Door(tmp_path)
    try:
        built.until(lambda counts: len(counts) == 4)
        yield built
    finally:
        built.close()


def test_a_worker_that_is_killed_between_requests_costs_nobody_an_answer(door):
    door.workers[0].kill()
    door.workers[0].wait(10)
    counts = Counter(door.post() for _ in range(40))
    assert {status for status, _ in counts} == {200}
    assert {worker for _, worker in counts} == {"worker-1", "worker-2", "worker-3"}


def test_a_worker_that_is_not_ready_gets_no_image_and_comes_back(door):
    door.unready[1].touch()
    door.until(lambda counts: (200, "worker-1") not in counts)
    assert {status for status, _ in (door.post() for _ in range(12))} == {200}
    door.unready[1].unlink()
    door.until(lambda counts: (200, "worker-1") in counts)


def test_with_no_worker_ready_the_door_says_503_and_what_is_too_large_is_refused_there(door):
    connection = http.client.HTTPSConnection("localhost", door.port, context=door.trust, timeout=10)
    try:
        connection.putrequest("POST", "/api/v1/inspect")
        connection.putheader("Content-Length", str(10**9))
        connection.endheaders()
        assert connection.getresponse().status == 413
    finally:
        connection.close()
    for path in door.unready:
        path.touch()
    door.until(lambda counts: {status for status, _ in counts} == {503})

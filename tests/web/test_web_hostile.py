"""What a broken camera, a wrong script or a prankster sends is refused or is REVIEW; nothing falls over."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
import zlib
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit

import numpy as np
import psutil
import pytest
from hostile import hostile_files

import line
from waferlens.storage.accounts import Role

PATH = "/api/v1/inspect?wafer_id=WF-1&inspection_point=0"


@pytest.fixture
def camera(served):
    with served.client() as client:
        yield client


def raw(served, request: bytes, wait_seconds: float = 5.0) -> bytes:
    """What the server answers to bytes that no library would send."""
    parts = urlsplit(served.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=wait_seconds) as connection:
        connection.sendall(request)
        received = b""
        while piece := connection.recv(65536):
            received += piece
            if b"\r\n\r\n" in received:
                break
    return received


@pytest.mark.parametrize(
    "wafer",
    [
        "", "..", "../../etc/passwd", "a/b", "a\\b", "WF-1%00", "WF 1", "WF-1\r\nX-Evil: 1", "a" * 65, ".hidden",
        "é",
        "'; DROP TABLE inspections; --",
        "WF-1' OR '1'='1", "{{7*7}}", "<script>",
    ],
)  # fmt: skip
def test_an_id_that_is_no_name_is_refused_everywhere(camera, wafer):
    told = quote(wafer, safe="")
    for method, path in (
        ("POST", f"/api/v1/inspect?wafer_id={told}&inspection_point=0"),
        ("GET", f"/api/v1/inspections?wafer_id={told}"),
        ("GET", f"/api/v1/inspections?product={told}"),
        ("GET", f"/api/v1/wafers/{told}"),
        ("GET", f"/api/v1/heatmaps/{told}-0.png"),
    ):
        reply = camera.ask(method, path, line.png() if method == "POST" else None)
        assert reply.status in (404, 422) or (path.endswith("/") and reply.status in (200, 307)), path
        assert "x-evil" not in reply.headers


@pytest.mark.parametrize("point", ["-1", "1e3", "100000", "", "0x1", "99999999999999999999", "1;2"])
def test_a_point_that_is_no_number_is_refused(camera, point):
    assert camera.ask("POST", f"/api/v1/inspect?wafer_id=W&inspection_point={point}", line.png()).status == 422


def test_an_image_without_a_place_is_refused(camera):
    assert camera.ask("POST", "/api/v1/inspect", line.png()).status == 422


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 129, "\x01"])
def test_an_idempotency_key_of_another_form_is_refused(served, key):
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {served.keys[Role.STATION]}\r\n"
        f"Idempotency-Key: {key}\r\nContent-Length: 1\r\n\r\nx"
    )
    assert raw(served, request.encode("latin-1")).split(b" ")[1] in (b"422", b"400")


def test_a_body_larger_than_allowed_is_refused_unread(camera, served):
    assert camera.ask("POST", PATH, b"x" * 400_001).status == 413
    promised = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {served.keys[Role.STATION]}\r\n"
    assert b" 413 " in raw(served, f"{promised}Content-Length: 99999999999\r\n\r\n".encode())


def test_a_body_of_no_stated_length_is_cut_off_at_the_limit(served):
    parts = urlsplit(served.url)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=10)
    told = {"Authorization": f"Bearer {served.keys[Role.STATION]}"}
    pieces = (b"x" * 50_000 for _ in range(12))
    connection.request("POST", PATH, body=pieces, headers=told, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_that_does_not_come_is_given_up(served):
    started = time.monotonic()
    promised = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {served.keys[Role.STATION]}\r\n"
    assert b" 408 " in raw(served, f"{promised}Content-Length: 100\r\n\r\nab".encode(), wait_seconds=10)
    assert time.monotonic() - started < 5


def test_an_empty_body_and_a_body_of_another_kind_are_refused(camera):
    assert camera.ask("POST", PATH, b"").status == 422
    assert camera.ask("POST", PATH, b"{}", {"Content-Type": "application/json"}).status == 415


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nX\x00: a\r\n\r\n",
        b"GET /health\x00z HTTP/1.1\r\nHost: h\r\n\r\n",
        b"BREW /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /api/v1/model HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    ],
)
def test_requests_that_are_no_http_do_no_harm(served, camera, request_line):
    answer = raw(served, request_line)
    assert not answer.startswith(b"HTTP/1.1 5")
    assert camera.get("/healthz") == {"status": "alive"}


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that unpacks to side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    packed = zlib.compress(bytes(50_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [30_000, 2**31 - 1])
def test_a_bomb_is_a_review_and_takes_no_memory(camera, side):
    before = psutil.Process().memory_info().rss
    answer = camera.ask("POST", PATH, bomb(side)).content
    assert (answer["decision"], answer["failure"]) == ("REVIEW", "image")
    assert psutil.Process().memory_info().rss - before < 100e6


def mutated(data: bytes, random_: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random_.choice([1, 1, 2, 8, 64])):
        kind, at = random_.randrange(4), random_.randrange(len(changed))
        if kind == 0:
            changed[at] ^= 1 << random_.randrange(8)
        elif kind == 1:
            del changed[at : at + random_.randrange(1, 200)]
        elif kind == 2:
            changed[at:at] = os.urandom(random_.randrange(1, 50))
        else:
            changed[at : at + 4] = struct.pack(">I", random_.choice([0, 1, 2**31, 2**32 - 1]))
        if len(changed) < 2:
            changed = bytearray(data[:100])
    return bytes(changed)


def test_mutated_images_crash_nothing_and_memory_stays_flat(camera, tmp_path, num_examples):
    random_ = random.Random(4)
    rng = np.random.default_rng(4)
    hostile_files(tmp_path, seed=4, count=min(200, num_examples // 2))
    seeds = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    seeds = [data for data in seeds if 0 < len(data) < 300_000] + [line.png(20, seed=int(rng.integers(9)))] * 20
    measured = []
    for number in range(num_examples):
        data = seeds[number] if number < len(seeds) else mutated(random_.choice(seeds), random_)
        reply = camera.ask("POST", PATH, data)
        assert reply.status == 200, reply.content
        assert reply.content["decision"] in ("PASS", "REVIEW", "REJECT")
        assert reply.content["failure"] is None or reply.content["decision"] == "REVIEW"
        if number >= num_examples // 3:
            measured.append(psutil.Process().memory_info().rss)
    assert measured[-1] - measured[0] < 60e6

"""What was answered is recorded, whatever is killed, stopped or full; what was not recorded was not answered."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import threading
import time
from http.client import HTTPException

import pytest
from processes import ServiceProcess

import line
import postgresql as server_of_tests
from waferlens.errors import RequestError
from waferlens.web.client import Client


class Camera(threading.Thread):
    """Posts one image after the other; keeps what was answered. Retries are the client's own."""

    def __init__(self, url: str, key: str, name: str) -> None:
        super().__init__(daemon=True)
        self.url, self.key, self.wafer = url, key, name
        self.answered: list[tuple[dict, bytes]] = []
        self.refused: list[str] = []
        self.going = threading.Event()
        self.going.set()

    def run(self) -> None:
        number = 0
        with Client(self.url, self.key, timeout_seconds=15) as client:
            while self.going.is_set():
                data = line.png(20, seed=number)
                try:
                    answer = client.inspect(data, self.wafer, number, patience_seconds=60)
                    self.answered.append((answer, data))
                except RequestError as error:
                    self.refused.append(str(error))
                number += 1

    def stop(self) -> None:
        self.going.clear()
        self.join(timeout=70)
        assert not self.is_alive()


def everything(client: Client) -> list[dict]:
    found, before = [], ""
    while True:
        page = client.get(f"/api/v1/inspections?limit=500{before}")
        found += page["inspections"]
        if page["next"] is None:
            return found
        before = f"&before={page['next']}"


def settle(client: Client) -> None:
    """Until nothing waits in the journal."""
    ends = time.monotonic() + 30
    while b"waferlens_journal_waiting 0.0" not in client.get("/metrics"):
        assert time.monotonic() < ends
        time.sleep(0.1)


def assert_nothing_lost_nothing_twice(client: Client, cameras: list[Camera]) -> int:
    settle(client)
    recorded = everything(client)
    by_id = {entry["id"]: entry for entry in recorded}
    places = [(entry["wafer_id"], entry["inspection_point"]) for entry in recorded]
    answered = [pair for camera in cameras for pair in camera.answered]
    for answer, data in answered:
        assert by_id[answer["id"]] == answer
        assert answer["original_sha256"] == hashlib.sha256(data).hexdigest()
    for answer, data in answered[:: max(1, len(answered) // 50)]:
        assert client.get(answer["pictures"]["original"]) == data
        assert client.get(answer["pictures"]["heatmap"]).startswith(b"\x89PNG")
    assert len(set(places)) == len(places)
    return len(answered)


@pytest.fixture
def process(exported, tmp_path):
    running = ServiceProcess(exported, tmp_path / "home")
    yield running
    running.stop()


@pytest.mark.slow
def test_kill_9_under_load_loses_and_duplicates_nothing(process, num_kills):
    key = process.run("keys", "create", "--home", process.home, "--role", "station")
    process.start()
    cameras = [Camera(process.url, key, f"WF-{number}") for number in range(3)]
    for camera in cameras:
        camera.start()
    for _ in range(num_kills):
        time.sleep(1.0)
        process.kill()
        process.start()
    time.sleep(1.0)
    for camera in cameras:
        camera.stop()
    with Client(process.url, key) as client:
        assert assert_nothing_lost_nothing_twice(client, cameras) > 10 * num_kills
    assert not any(camera.refused for camera in cameras)
    assert "unbroken" in process.run("audit", "verify", "--home", process.home)


@contextlib.contextmanager
def a_full_disk(process: ServiceProcess):
    """A small disk filled to its last byte where one may be mounted; else files that may not grow."""
    home = process.home
    home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(home)], capture_output=True, check=False
    )
    small = mounted.returncode == 0

    @contextlib.contextmanager
    def filled():
        if not small:
            process.let_files_grow_to(0)
            yield
            process.let_files_grow_to(-1)
            return
        filler = home / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield
        filler.unlink()

    try:
        yield filled
    finally:
        process.stop()
        if small:
            subprocess.run(["umount", str(home)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_503_with_retry_after_and_what_was_answered_is_there(process):
    with a_full_disk(process) as filled:
        key = process.run("keys", "create", "--home", process.home, "--role", "station")
        process.start()
        path = "/api/v1/inspect?wafer_id=WF-1&inspection_point="
        with Client(process.url, key) as client:
            before = client.ask("POST", path + "0", line.png(20, seed=0))
            assert before.status == 200
            with filled():
                replies = [client.ask("POST", f"{path}{n}", line.png(20, seed=n)) for n in range(1, 6)]
            assert {reply.status for reply in replies[-2:]} == {503}
            assert replies[-1].headers["retry-after"] == "1"
            ends = time.monotonic() + 30
            while client.ask("POST", path + "9", line.png(20, seed=9)).status != 200:
                assert time.monotonic() < ends
                time.sleep(0.2)
            settle(client)
            recorded = {entry["id"] for entry in everything(client)}
            acknowledged = {reply.content["id"] for reply in (before, *replies) if reply.status == 200}
            assert acknowledged <= recorded


@pytest.mark.slow
def test_a_database_that_stops_under_load_costs_no_image(tmp_path, monkeypatch, outage_seconds):
    with server_of_tests.running(tmp_path) as server:
        monkeypatch.setenv("WAFERLENS_DATABASE_URL", server.new_database())
        with line.a_service(tmp_path / "home") as service, line.listening(service) as served:
            camera = Camera(served.url, served.keys[line.Role.STATION], "WF-1")
            camera.start()
            time.sleep(1.0)
            server.stop()
            at_stop = len(camera.answered)
            time.sleep(outage_seconds)
            during = len(camera.answered) - at_stop
            with contextlib.suppress(OSError, HTTPException), served.client() as client:
                assert "lost" in client.get("/readyz")["database"]
            server.start()
            time.sleep(1.0)
            camera.stop()
            with served.client() as client:
                assert_nothing_lost_nothing_twice(client, [camera])
            assert during > outage_seconds
            assert not camera.refused


def test_a_store_that_goes_under_load_costs_no_image(tmp_path):
    with line.a_service(tmp_path / "home") as service, line.listening(service) as served:
        camera = Camera(served.url, served.keys[line.Role.STATION], "WF-1")
        camera.start()
        time.sleep(0.3)
        folder = tmp_path / "home" / "blobs"
        folder.rename(tmp_path / "aside")
        folder.write_text("not a folder")
        time.sleep(0.5)
        folder.unlink()
        (tmp_path / "aside").rename(folder)
        time.sleep(0.3)
        camera.stop()
        with served.client() as client:
            assert assert_nothing_lost_nothing_twice(client, [camera]) > 10
        assert not camera.refused

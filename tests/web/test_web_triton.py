"""The service over two real Triton replicas: one killed under load, both killed, one back."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import dataclass, field

import pytest
from PIL import Image

import line
from triton_server import ENVIRONMENT, TritonServer, is_installed, prepare_backends
from waferlens.bundle.contents import load_samples
from waferlens.engines.triton import TritonEngine
from waferlens.engines.triton_repository import TritonOptions, export_repositories
from waferlens.inspection.facts import load_facts
from waferlens.inspection.service import ServiceOptions
from waferlens.settings.service import ServiceSettings
from waferlens.wiring.record import open_record
from waferlens.wiring.serve import start_service

pytestmark = pytest.mark.slow
DEADLINE_SECONDS = 1.0


@pytest.fixture
def replicas(exported, tmp_path):
    assert is_installed(), "the Triton server is missing: run `make triton`"
    told = export_repositories(exported, tmp_path / "triton", TritonOptions(python_environment=ENVIRONMENT))
    backends = prepare_backends(tmp_path / "backends")
    servers = [
        TritonServer(tmp_path / "triton" / "python", told["model"], backends, tmp_path / f"{name}.log")
        for name in ("primary", "failover")
    ]
    for server in servers:
        server.start()
    for server in servers:
        server.wait()
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def served(exported, replicas, tmp_path):
    pool = TritonEngine.open([replicas[0].http, replicas[1].grpc], exported)
    settings = ServiceSettings(inspection=ServiceOptions(deadline_seconds=DEADLINE_SECONDS))
    service = start_service(load_facts(exported), open_record(tmp_path / "home"), settings, pool)
    try:
        with line.listening(service) as running:
            yield running
    finally:
        service.close()


@dataclass
class Camera:
    """Posts one image after the other; keeps when each was answered, and with what."""

    heard: list[tuple[float, dict]] = field(default_factory=list)
    wrong: list[Exception] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, served, images, name):
        client, point = served.client(), 0
        while not self.stop.is_set():
            try:
                answer = client.inspect(images[point % len(images)], f"W-{name}", point)
            except Exception as error:  # whatever it is, the line has lost an image
                self.wrong.append(error)
            else:
                self.heard.append((time.monotonic(), answer))
            point += 1
        client.close()

    def since(self, moment):
        return [answer for when, answer in self.heard if when >= moment]


def test_one_replica_killed_fails_no_inspection_both_killed_is_review_and_one_back_is_service_again(
    served, replicas, exported
):
    images = []
    for pixels in load_samples(exported).held_out:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        images.append(file.getvalue())
    cameras = [Camera() for _ in range(2)]
    threads = [
        threading.Thread(target=camera.run, args=(served, images, number)) for number, camera in enumerate(cameras)
    ]
    for thread in threads:
        thread.start()

    def answers_since(moment):
        return [answer for camera in cameras for answer in camera.since(moment)]

    try:
        line.wait_until(lambda: len(answers_since(0)) >= 20, 30)
        replicas[0].kill()
        one_killed = time.monotonic()
        line.wait_until(lambda: len(answers_since(one_killed)) >= 40, 60)
        assert not any(answer["failure"] for answer in answers_since(0)), "one replica is enough"

        replicas[1].kill()
        time.sleep(1.5)
        both_down = time.monotonic()
        line.wait_until(lambda: len(answers_since(both_down)) >= 20, 60)
        while_down = answers_since(both_down)
        assert {answer["decision"] for answer in while_down} == {"REVIEW"}
        assert {answer["failure"] for answer in while_down} <= {"engine", "deadline"}

        replicas[0].start()
        replicas[0].wait()
        back = time.monotonic()
        line.wait_until(lambda: any(a["failure"] is None for a in answers_since(back)), 5)
        recovered = time.monotonic()
        line.wait_until(lambda: len(answers_since(recovered)) >= 20, 60)
        assert not any(answer["failure"] for answer in answers_since(recovered + 0.5))
    finally:
        for camera in cameras:
            camera.stop.set()
        for thread in threads:
            thread.join(30)
    assert not any(camera.wrong for camera in cameras)
    # By the service's own clocks: the cameras share their cores with two servers that are starting.
    judged = [sum(a["timings_ms"].get(s, 0.0) for s in ("preprocess", "inference")) for a in answers_since(0)]
    assert max(judged) < 1e3 * (DEADLINE_SECONDS + 0.5)
    recorded = served.client()
    for answer in answers_since(0)[:: max(1, len(answers_since(0)) // 50)]:
        entry = recorded.get(f"/api/v1/inspections/{answer['id']}")
        assert (entry["decision"], entry["failure"]) == (answer["decision"], answer["failure"])
    recorded.close()

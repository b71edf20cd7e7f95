"""A service with a real bundle: it decides as ``Detector`` does, and goes over to another bundle under load."""

from __future__ import annotations

import io
import json
import shutil
import threading

import pytest
from PIL import Image

import line
from waferlens.bundle.contents import load_samples
from waferlens.bundle.manifest import read_manifest, write_manifest
from waferlens.engines.pool import PoolOptions
from waferlens.inspection.facts import load_facts
from waferlens.inspection.inspector import Inspector
from waferlens.settings.service import ServiceSettings
from waferlens.storage.accounts import Role
from waferlens.wiring.engine import open_timed_engine
from waferlens.wiring.record import open_record
from waferlens.wiring.serve import start_service

OLD, NEW = "vae-wafer-tiny-v0.1.0", "vae-wafer-tiny-v0.2.0"


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def images(exported) -> list[bytes]:
    return [png(pixels) for pixels in load_samples(exported).held_out]


@pytest.fixture
def served(exported, tmp_path):
    """The service over the tiny bundle; the same as v0.2.0, and one that was tampered with, wait in its home."""
    for name in ("next", "torn"):
        folder = tmp_path / "home" / "bundles" / name
        shutil.copytree(exported, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"version": "v0.2.0"}))
        if name == "next":
            write_manifest(folder, read_manifest(folder)["provenance"])
    pool = open_timed_engine(exported, PoolOptions(engine="openvino", num_workers=1))
    record = open_record(tmp_path / "home")
    service = start_service(load_facts(exported), record, ServiceSettings(), pool)
    try:
        with line.listening(service) as running:
            yield running
    finally:
        service.close()


def swap(served, name: str):
    engineer = served.client(Role.ENGINEER)
    try:
        body = json.dumps({"bundle": name}).encode()
        return engineer.ask("POST", "/api/v1/model", body, {"Content-Type": "application/json"})
    finally:
        engineer.close()


def test_the_service_decides_as_the_detector_does(served, exported, images):
    detector = Inspector.load(exported, engine="openvino")
    camera = served.client()
    for number, content in enumerate(images):
        expected = detector.inspect_file(content)
        answer = camera.inspect(content, "W-1", number)
        assert answer["decision"] == expected.decision.kind
        assert answer["anomaly_score"] == pytest.approx(expected.inference.score, abs=1e-4)
        assert answer["p_value"] == pytest.approx(expected.p_value)
        assert answer["model_version"] == OLD
    camera.close()


def test_a_swap_under_load_drops_no_image_and_every_answer_names_its_model(served, images):
    stop, answers, wrong = threading.Event(), [], []

    def post(camera_number: int) -> None:
        camera = served.client()
        point = 0
        while not stop.is_set():
            try:
                answers.append(camera.inspect(images[point % len(images)], f"W-{camera_number}", point))
            except Exception as error:  # whatever it is, the line has lost an image
                wrong.append(error)
            point += 1
        camera.close()

    cameras = [threading.Thread(target=post, args=(number,)) for number in range(2)]
    for camera in cameras:
        camera.start()
    line.wait_until(lambda: len(answers) >= 10)
    reply = swap(served, "next")
    after = len(answers)
    line.wait_until(lambda: len(answers) >= after + 10)
    stop.set()
    for camera in cameras:
        camera.join()
    assert reply.status == 200
    assert reply.content["model_version"] == NEW
    assert not wrong
    assert not any(answer["failure"] for answer in answers)
    assert {answer["model_version"] for answer in answers} == {OLD, NEW}
    assert {answer["model_version"] for answer in answers[after + 2 :]} == {NEW}


def test_a_bundle_that_was_tampered_with_is_refused_and_the_old_one_goes_on(served, images):
    assert swap(served, "torn").status in (409, 422)
    camera = served.client()
    assert camera.inspect(images[0], "W-1", 0)["model_version"] == OLD
    camera.close()

"""The API answers as the case study says, and gives back what it recorded."""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import uuid
from pathlib import Path

import pytest
from PIL import Image

import line
from waferlens.errors import RequestError
from waferlens.storage.accounts import Role

CASE_STUDY = [
    "wafer_id", "inspection_point", "anomaly_score", "decision", "confidence", "heatmap_url", "latent_vector",
    "model_version", "inference_time_ms",
]  # fmt: skip


@pytest.fixture
def camera(served):
    client = served.client()
    yield client
    client.close()


@pytest.fixture
def engineer(served):
    client = served.client(Role.ENGINEER)
    yield client
    client.close()


def wafer() -> str:
    return f"WF-{uuid.uuid4().hex[:8]}"


def test_an_answer_begins_with_the_fields_of_the_case_study(camera):
    answer = camera.inspect(line.png(20), "WF-2024-001234", 3)
    assert list(answer)[:9] == CASE_STUDY
    assert (answer["wafer_id"], answer["inspection_point"]) == ("WF-2024-001234", 3)
    assert answer["decision"] == "PASS"
    assert answer["heatmap_url"] == "/api/v1/heatmaps/WF-2024-001234-3.png"
    assert len(answer["latent_vector"]) == 128


def test_wafer_and_point_may_travel_in_headers(camera):
    told = {"X-Wafer-Id": "WF-H", "X-Inspection-Point": "2", "Content-Type": "application/octet-stream"}
    reply = camera.ask("POST", "/api/v1/inspect", line.png(), told)
    assert (reply.content["wafer_id"], reply.content["inspection_point"]) == ("WF-H", 2)
    assert "inference;dur=" in reply.headers["server-timing"]


def test_the_record_holds_the_answer_and_the_very_bytes(camera):
    data = line.png(30, seed=1)
    answer = camera.inspect(data, wafer(), 0)
    assert camera.get(f"/api/v1/inspections/{answer['id']}") == answer
    assert camera.get(answer["pictures"]["original"]) == data
    assert answer["original_sha256"] == hashlib.sha256(data).hexdigest()


def test_the_heatmap_is_a_picture_with_its_scale_and_is_there_at_once(camera):
    answer = camera.inspect(line.png(150), wafer(), 1)
    started = time.monotonic()
    drawn = Image.open(io.BytesIO(camera.get(answer["heatmap_url"])))
    assert time.monotonic() - started < 2
    assert drawn.format == "PNG"
    assert drawn.width > 256
    assert camera.get(answer["pictures"]["heatmap"]) == camera.get(answer["heatmap_url"])
    assert Image.open(io.BytesIO(camera.get(answer["pictures"]["reconstruction"]))).size == (256, 256)


def test_the_same_deviation_has_the_same_colour_in_every_heatmap(camera):
    def colour(grey, among):
        pixels = line.png(grey) if among is None else line.png(among)
        answer = camera.inspect(pixels, wafer(), 0)
        return (
            Image.open(io.BytesIO(camera.get(answer["pictures"]["heatmap"]))).convert("RGB").getpixel((100, 100))
        )

    assert colour(60, None) == colour(60, 60) != colour(180, None)


def test_a_retry_with_its_key_is_answered_from_the_record_and_says_so(camera):
    path, told = f"/api/v1/inspect?wafer_id={wafer()}&inspection_point=0", {"Idempotency-Key": uuid.uuid4().hex}
    first, again = (camera.ask("POST", path, line.png(), told) for _ in range(2))
    assert first.content == again.content
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    other = camera.ask("POST", path, line.png(99), told)
    assert (other.status, other.headers["content-type"]) == (409, "application/problem+json")


def test_what_cannot_be_inspected_is_a_review_with_the_reason(camera):
    answer = camera.inspect(b"no image at all", wafer(), 0)
    assert (answer["decision"], answer["failure"], answer["confidence"]) == ("REVIEW", "image", 0.0)
    assert answer["anomaly_score"] is answer["latent_vector"] is answer["heatmap_url"] is None
    assert "PNG" in answer["reason"]
    failed = camera.get(f"/api/v1/inspections?failed=true&wafer_id={answer['wafer_id']}")
    assert [each["id"] for each in failed["inspections"]] == [answer["id"]]


def test_a_full_service_says_when_to_come_again(camera, pool):
    pool.broken = line.FULL
    try:
        reply = camera.ask("POST", "/api/v1/inspect?wafer_id=WF-1&inspection_point=0", line.png())
    finally:
        pool.broken = None
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")


def test_pages_cover_everything_once(camera):
    name = wafer()
    ids = [camera.inspect(line.png(), name, number % 4)["id"] for number in range(5)]
    seen, before = [], ""
    while True:
        page = camera.get(f"/api/v1/inspections?wafer_id={name}&limit=2{before}")
        seen += [each["id"] for each in page["inspections"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == ids[::-1]


def test_a_wafer_in_one_request_is_as_good_as_its_worst_point(camera):
    name = wafer()
    body, told = line.multipart({str(point): line.png(20) for point in range(3)})
    answer = camera.ask("POST", f"/api/v1/wafers/{name}/inspect", body, told).content
    assert (answer["disposition"], answer["complete"], answer["num_expected"]) == ("REVIEW", False, 4)
    body, told = line.multipart({"3": line.png(20)})
    answer = camera.ask("POST", f"/api/v1/wafers/{name}/inspect", body, told).content
    assert (answer["disposition"], answer["complete"]) == ("PASS", True)
    body, told = line.multipart({"2": line.png(250)})
    answer = camera.ask("POST", f"/api/v1/wafers/{name}/inspect", body, told).content
    assert (answer["disposition"], answer["reason"]) == ("REJECT", "rejected: point 2")
    assert camera.get(f"/api/v1/wafers/{name}") == answer


@pytest.mark.parametrize("images", [{}, {"x": b"1"}, {"-1": b"1"}, {"1/../2": b"1"}, {"9999999": b"1"}])
def test_a_wafer_whose_parts_are_no_points_is_refused(camera, images):
    body, told = line.multipart(images)
    assert camera.ask("POST", f"/api/v1/wafers/{wafer()}/inspect", body, told).status == 422


def test_a_person_settles_a_wafer_and_is_named(camera, served):
    name = wafer()
    camera.inspect(line.png(150), name, 0)
    inspector = served.client(Role.INSPECTOR)
    body = json.dumps({"disposition": "PASS", "reason": "dust on the lens"}).encode()
    told = {"Content-Type": "application/json"}
    settled = inspector.ask("POST", f"/api/v1/wafers/{name}/disposition", body, told).content
    inspector.close()
    assert settled["disposition"] == "REVIEW"
    assert (settled["settled"]["disposition"], settled["settled"]["settled_by"]) == ("PASS", "a-inspector")


def test_an_engineer_moves_the_band_and_the_next_image_is_decided_by_it(camera, engineer):
    def put(review, reject):
        body = {"review_threshold": review, "reject_threshold": reject, "reason": "test"}
        return engineer.ask(
            "PUT", "/api/v1/model/band", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )

    try:
        assert camera.inspect(line.png(150), wafer(), 0)["decision"] == "REVIEW"
        assert put(3.5, 4.0).content["thresholds"] == {"score_name": "score", "review": 3.5, "reject": 4.0}
        assert camera.inspect(line.png(150), wafer(), 0)["decision"] == "PASS"
        assert put(5.0, 4.0).status == 422
    finally:
        put(2.0, 4.0)
    assert [band["review_threshold"] for band in engineer.get("/api/v1/model/bands")][:2] == [2.0, 3.5]
    assert "review band set" in {entry["action"] for entry in engineer.get("/api/v1/audit")}
    assert engineer.get("/api/v1/model")["bundle_thresholds"]["review"] == 2.0


@pytest.mark.parametrize("name", ["nothing-there", "..", "../bundles", "a/b", ""])
def test_only_a_bundle_in_its_folder_can_be_loaded(engineer, name):
    body = json.dumps({"bundle": name}).encode()
    reply = engineer.ask("POST", "/api/v1/model", body, {"Content-Type": "application/json"})
    assert reply.status == 422
    assert engineer.get("/api/v1/model")["model_version"] == line.VERSION


def test_hours_wafers_and_products_are_told(camera):
    name = camera.inspect(line.png(), wafer(), 0)["wafer_id"]
    assert sum(sum(hour["counts"].values()) for hour in camera.get("/api/v1/counts")) > 0
    assert name in {each["wafer_id"] for each in camera.get("/api/v1/wafers")}
    assert camera.get("/api/v1/products") == {"line": 4}


def test_a_health_check_needs_no_key_and_readiness_follows_the_model(camera, pool):
    assert camera.get("/healthz") == {"status": "alive"}
    assert camera.get("/readyz")["database"] == "ok"
    pool.ready = False
    try:
        assert camera.ask("GET", "/readyz").status == 503
    finally:
        pool.ready = True


def test_every_stage_has_a_histogram(camera):
    camera.inspect(line.png(), wafer(), 0)
    time.sleep(0.5)
    text = camera.get("/metrics").decode()
    stages = set(re.findall(r'waferlens_stage_seconds_count\{stage="(\w+)"\}', text))
    assert {
        "transfer", "preprocess", "inference", "decision", "record", "serialise", "heatmap", "request"
    } <= stages  # fmt: skip


def test_the_documentation_page_comes_from_the_service_alone(camera):
    page = camera.get("/docs").decode()
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert addresses
    for address in addresses:
        assert address.startswith("/docs/")
        assert camera.get(address)
    assert "SwaggerUIBundle" in camera.get("/docs/start.js").decode()
    described = camera.get("/openapi.json")
    assert "examples" in described["components"]["schemas"]["InspectionAnswer"]
    assert camera.ask("GET", "/docs/../../etc/passwd").status == 404


def test_a_client_hears_why_it_was_refused(served):
    client = served.client(Role.INSPECTOR)
    with pytest.raises(RequestError, match="403"):
        client.inspect(line.png(), "WF-1", 0)
    client.close()


def test_errors_are_problem_details(camera):
    for path in ("/api/v1/inspections/" + "0" * 32, "/nowhere", "/api/v1/inspections?limit=0"):
        reply = camera.ask("GET", path)
        assert reply.headers["content-type"] == "application/problem+json"
        assert (reply.content["status"], reply.content["title"] != "") == (reply.status, True)


def test_the_load_generator_checks_every_answer(served, tmp_path: Path):
    from waferlens.web.load import bench_service

    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(line.png(20, seed=number))
    key = served.keys[Role.STATION]
    for rate in (None, 20.0):
        figures = bench_service(served.url, key, tmp_path, rate=rate, seconds=1.0, connections=2)
        assert figures["num_requests"] > 10
        assert (figures["num_errors"], figures["num_lost"]) == (0, 0)
        assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]

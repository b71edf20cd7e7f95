"""Whatever goes wrong, an image is REVIEW with its reason, recorded and alarmed, or it is not answered at all."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

import line
from waferlens.errors import Conflict, DeadlineMissed, EngineFailed, Overloaded, RecordLost
from waferlens.inspection.service import InspectionRequest, ServiceOptions
from waferlens.records import DecisionKind
from waferlens.settings.service import ProductOptions, ServiceSettings
from waferlens.storage.inspections import InspectionFilter, find_inspection, find_rendering, page_of_inspections

PASS, REVIEW, REJECT = DecisionKind


@pytest.fixture
def pool():
    return line.BrightnessPool()


@pytest.fixture
def service(tmp_path, pool):
    with line.a_service(tmp_path / "home", pool) as running:
        yield running


def asked(data: bytes, **told) -> InspectionRequest:
    usual = {"wafer_id": "WF-1", "inspection_point": 0, "station": "camera-1", "arrived": time.monotonic()}
    return InspectionRequest(data=data, **usual | told)


def recorded(service):
    with service.record.database.reading() as connection:
        return page_of_inspections(connection, InspectionFilter(), limit=500)


def alarms(service) -> set[str]:
    lines = service.metrics.exposition().decode().splitlines()
    return {line_.split('"')[1] for line_ in lines if line_.startswith("waferlens_alarms_total{")}


@pytest.mark.parametrize(("grey", "decision"), [(20, PASS), (150, REVIEW), (250, REJECT)])
def test_an_image_is_decided_and_the_record_holds_it_with_its_original(service, grey, decision):
    data = line.png(grey)
    answered = service.inspections.inspect(asked(data))
    assert answered.inspection.decision is decision
    assert answered.place == "database"
    assert recorded(service) == [answered.inspection]
    assert service.recorder.get_blob(answered.inspection.original) == data
    assert set(answered.inspection.timings) == {"transfer", "preprocess", "inference", "decision"}


@pytest.mark.parametrize(
    ("broken", "failure"),
    [
        (EngineFailed("the engine broke"), "engine"),
        (DeadlineMissed("too late"), "deadline"),
        (RuntimeError("a fault of the program"), "internal"),
        (MemoryError(), "internal"),
    ],
)
def test_an_engine_that_fails_is_a_review_that_is_recorded_and_alarmed(service, pool, broken, failure):
    pool.broken = broken
    answered = service.inspections.inspect(asked(line.png()))
    assert (answered.inspection.decision, answered.inspection.failure) == (REVIEW, failure)
    assert answered.inspection.confidence == 0
    assert answered.inspection.reason
    assert recorded(service) == [answered.inspection]
    assert failure in alarms(service)


def test_an_answer_that_comes_after_the_deadline_is_a_review(tmp_path):
    settings = ServiceSettings(inspection=ServiceOptions(deadline_seconds=0.05))
    with line.a_service(tmp_path, line.BrightnessPool(delay_seconds=0.1), settings) as service:
        assert service.inspections.inspect(asked(line.png())).inspection.failure == "deadline"


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_never_passes(service, pool, score):
    pool.score = score
    inspection = service.inspections.inspect(asked(line.png())).inspection
    assert (inspection.decision, inspection.failure, inspection.score) == (REVIEW, "score", None)


@pytest.mark.parametrize(
    "data", [b"x", b"\x89PNG\r\n\x1a\n", line.png()[:500], line.png(side=20), b"BM" + b"\0" * 90]
)
def test_bytes_that_are_no_image_are_a_review_and_are_kept(service, data):
    inspection = service.inspections.inspect(asked(data)).inspection
    assert (inspection.decision, inspection.failure) == (REVIEW, "image")
    assert service.recorder.get_blob(inspection.original) == data


def test_a_reason_is_one_printable_line_whatever_the_error_says(service, pool):
    pool.broken = EngineFailed("broke\0 at\n\x1b[31m \ud800" + "x" * 900)
    reason = service.inspections.inspect(asked(line.png())).inspection.reason
    assert reason.isprintable()
    assert (reason[:16], len(reason)) == ("broke? at ?[31m ", 500)


def test_an_unknown_product_or_point_is_a_review(tmp_path):
    settings = ServiceSettings(products={"line": ProductOptions(num_points=3)})
    with line.a_service(tmp_path, settings=settings) as service:
        for told, failure in (
            ({"product": "other"}, "product"),
            ({"inspection_point": 3}, "point"),
            ({"inspection_point": 2}, None),
            ({"product": "line"}, None),
        ):
            assert service.inspections.inspect(asked(line.png(), **told)).inspection.failure == failure


def test_a_full_queue_is_said_at_once_and_nothing_is_recorded(service, pool):
    pool.broken = line.FULL
    with pytest.raises(Overloaded):
        service.inspections.inspect(asked(line.png()))
    assert recorded(service) == []


def test_more_images_at_once_than_there_is_room_for_are_refused_early(tmp_path):
    settings = ServiceSettings(inspection=ServiceOptions(max_waiting=2))
    with line.a_service(tmp_path, line.BrightnessPool(delay_seconds=0.2), settings) as service:

        def attempt(number):
            try:
                return service.inspections.inspect(asked(line.png(seed=number))).inspection.id
            except Overloaded:
                return None

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(attempt, range(8)))
        accepted = {answer for answer in answers if answer}
        assert 0 < len(accepted) < 8
        assert {each.id for each in recorded(service)} == accepted


def test_a_retry_gets_the_recorded_answer_and_is_recorded_once(service):
    request = asked(line.png(), idempotency_key="k")
    first, again = (service.inspections.inspect(request) for _ in range(2))
    assert (first.replayed, again.replayed) == (False, True)
    assert again.inspection.id == first.inspection.id
    assert len(recorded(service)) == 1
    with pytest.raises(Conflict):
        service.inspections.inspect(asked(line.png(150), idempotency_key="k"))


def test_retries_that_arrive_together_are_recorded_once(service, pool):
    pool.delay_seconds = 0.05
    request = asked(line.png(), idempotency_key="k")
    with ThreadPoolExecutor(6) as threads:
        ids = {answer.inspection.id for answer in threads.map(service.inspections.inspect, [request] * 6)}
    assert len(ids) == len(recorded(service)) == 1


def test_the_same_image_without_a_key_is_evaluated_every_time(service):
    ids = {service.inspections.inspect(asked(line.png())).inspection.id for _ in range(3)}
    assert len(ids) == len(recorded(service)) == 3


def test_many_cameras_lose_nothing(service):
    def post(number):
        return service.inspections.inspect(asked(line.png(seed=number), inspection_point=number)).inspection

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(post, range(100)))
    assert {each.id for each in recorded(service)} == {each.id for each in answers}


@pytest.mark.parametrize("names_its_model", [False, True])
def test_an_answer_is_decided_by_the_model_that_gave_it_while_models_change(tmp_path, names_its_model):
    pool = line.BrightnessPool(delay_seconds=0.002, names_its_model=names_its_model)
    with line.a_service(tmp_path, pool) as service:
        service.models.add(line.facts("other", review=50.0, reject=60.0))
        stop = threading.Event()

        def change():
            while not stop.wait(0.005):
                pool.model_version = "other" if pool.model_version == line.VERSION else line.VERSION

        changing = threading.Thread(target=change)
        changing.start()
        try:
            answers = [service.inspections.inspect(asked(line.png(250))).inspection for _ in range(40)]
        finally:
            stop.set()
            changing.join()
    for answer in answers:
        if answer.failure is None:
            assert (answer.review_threshold, answer.decision) == (
                (50.0, PASS) if answer.model_version == "other" else (2.0, REJECT)
            )


def test_the_pictures_follow_within_a_second_and_asking_earlier_waits(service):
    inspection = service.inspections.inspect(asked(line.png(150))).inspection
    started = time.monotonic()
    assert service.renderer.heatmap_of(inspection).startswith(b"\x89PNG")
    assert service.renderer.reconstruction_of(inspection).startswith(b"\x89PNG")
    assert time.monotonic() - started < 1.0


def test_pictures_that_a_crash_took_are_drawn_again_and_are_the_same(tmp_path):
    with line.a_service(tmp_path) as service:
        inspection = service.inspections.inspect(asked(line.png(150, seed=1))).inspection
        before = service.renderer.heatmap_of(inspection)
    with line.a_service(tmp_path) as service, service.record.database.writing() as connection:
        rendering = find_rendering(connection, inspection.id)
        connection.execute(text("DELETE FROM renderings"))
    service.record.blobs.delete(rendering.heatmap)
    with line.a_service(tmp_path) as service:
        assert service.renderer.heatmap_of(inspection) == before


def test_what_was_left_undrawn_is_drawn_without_anybody_asking(tmp_path):
    with line.a_service(tmp_path) as service:
        inspection = service.inspections.inspect(asked(line.png())).inspection
    with line.a_service(tmp_path) as service, service.record.database.writing() as connection:
        connection.execute(text("DELETE FROM renderings"))
    with line.a_service(tmp_path) as service:

        def drawn():
            with service.record.database.reading() as connection:
                return find_rendering(connection, inspection.id)

        line.wait_until(drawn)


def test_a_database_that_is_locked_sends_the_record_to_the_journal_and_back(service, tmp_path):
    with service.record.database.writing():  # somebody else holds the lock
        answered = service.inspections.inspect(asked(line.png(), idempotency_key="k"))
        assert answered.place == "journal"
        again = service.inspections.inspect(asked(line.png(), idempotency_key="k"))
        assert again.replayed
    line.wait_until(lambda: service.journal.num_waiting() == 0)
    with service.record.database.reading() as connection:
        assert find_inspection(connection, answered.inspection.id) == without_key(answered.inspection)


def test_an_inspection_in_the_journal_survives_the_service(tmp_path):
    with line.a_service(tmp_path) as service:
        service.recorder._lost_until = time.monotonic() + 3600
        answered = service.inspections.inspect(asked(line.png()))
        assert answered.place == "journal"
        service.journal.keep(answered.inspection)
    with line.a_service(tmp_path) as service:
        line.wait_until(lambda: service.journal.num_waiting() == 0)
        assert recorded(service) == [without_key(answered.inspection)]


def without_key(inspection):
    return type(inspection)(**vars(inspection) | {"idempotency_key": None, "request_hash": None})


def test_a_lost_store_keeps_originals_here_and_brings_them_back(service, tmp_path):
    folder, aside = tmp_path / "home" / "blobs", tmp_path / "aside"
    folder.rename(aside)
    folder.write_text("not a folder")
    data = line.png(30)
    answered = service.inspections.inspect(asked(data))
    assert service.recorder.get_blob(answered.inspection.original) == data
    folder.unlink()
    aside.rename(folder)
    line.wait_until(lambda: service.journal.num_waiting() == 0)
    assert service.record.blobs.get(answered.inspection.original) == data


def test_nothing_is_answered_when_nothing_is_durable(service, tmp_path):
    home = tmp_path / "home"
    for name in ("blobs", "journal"):
        (home / name).rename(home / f"{name}-gone")
        (home / name).write_text("not a folder")
    with pytest.raises(RecordLost):
        service.inspections.inspect(asked(line.png()))
    assert recorded(service) == []
    assert "record" in alarms(service)

"""Pictures wait until an image is with the engine, for a tenth of a second at most, and for nobody who asks."""

from __future__ import annotations

import threading
import time

import pytest

import line
from waferlens.errors import Overloaded
from waferlens.inspection.lull import Lull
from waferlens.inspection.service import InspectionRequest


def waiting(lull, seconds, or_when=lambda: False):
    """A thread that waits; its list holds how long it did once it has."""
    took = []

    def wait():
        started = time.monotonic()
        lull.wait(seconds, or_when)
        took.append(time.monotonic() - started)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    return thread, took


def test_an_image_that_goes_to_the_engine_ends_the_wait():
    lull = Lull()
    thread, took = waiting(lull, 20)
    assert not took
    lull.begins()
    thread.join(5)
    assert took[0] < 5


def test_without_an_image_the_wait_ends_by_itself():
    lull = Lull()
    lull.begins()  # an earlier one does not count: it may be over any moment
    started = time.monotonic()
    lull.wait(0.1, lambda: False)
    assert time.monotonic() - started >= 0.1


def test_whoever_asks_for_the_picture_ends_the_wait():
    lull, asked = Lull(), threading.Event()
    thread, took = waiting(lull, 20, asked.is_set)
    asked.set()
    lull.look_again()
    thread.join(5)
    assert took[0] < 5


def asked(**told) -> InspectionRequest:
    return InspectionRequest(
        data=line.png(), wafer_id="W-1", inspection_point=0, station="camera", arrived=time.monotonic(), **told
    )


def test_a_picture_is_drawn_while_the_next_image_is_with_the_engine(tmp_path):
    pool = line.BrightnessPool()
    with line.a_service(tmp_path, pool) as service:
        service.inspections.inspect(asked())
        assert service.renderer.num_pending() == 1
        pool.delay_seconds = 1.0
        started = time.monotonic()
        thread = threading.Thread(target=service.inspections.inspect, args=(asked(),))
        thread.start()
        line.wait_until(lambda: service.renderer.num_pending() == 0)
        assert time.monotonic() - started < 1.0
        thread.join()


def test_a_retry_that_finds_no_room_in_the_engine_still_gets_its_answer(tmp_path):
    pool = line.BrightnessPool()
    with line.a_service(tmp_path, pool) as service:
        first = service.inspections.inspect(asked(idempotency_key="k"))
        pool.broken = line.FULL
        again = service.inspections.inspect(asked(idempotency_key="k"))
        assert again.replayed
        assert again.inspection.id == first.inspection.id
        with pytest.raises(Overloaded):
            service.inspections.inspect(asked(idempotency_key="another"))

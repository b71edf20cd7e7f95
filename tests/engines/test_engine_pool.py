"""A pool answers every image with its own answer, in time or not at all, through failures and swaps."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from echo_engine import EchoEngine, Faults, image, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from waferlens.engines.pool import EnginePool
from waferlens.engines.request import canonical
from waferlens.engines.service_time import ServiceTimes, expected_end
from waferlens.errors import BundleError, DeadlineMissed, EngineError, EngineFailed, Overloaded

V0 = Path("v0")
LONG = 20.0


def within(seconds: float) -> float:
    return time.monotonic() + seconds


@pytest.fixture
def open_pool():
    pools = []

    def build(faults, *, num_workers=1, max_batch=1, max_queue=64):
        pools.append(EnginePool(serving(faults, num_workers, max_batch), V0, max_queue=max_queue))
        return pools[-1]

    yield build
    for pool in pools:
        pool.close()


def ask(pool, number, seconds=LONG):
    """The score, or the name of the error, and by how much the deadline was overrun."""
    deadline = within(seconds)
    try:
        result = pool.infer(image(number), deadline).score
    except (Overloaded, DeadlineMissed, EngineFailed) as error:
        result = type(error).__name__
    return result, time.monotonic() - deadline


@pytest.mark.parametrize(("num_workers", "max_batch"), [(1, 1), (1, 8), (3, 4)])
def test_many_threads_each_get_the_answer_to_their_own_image(open_pool, num_workers, max_batch):
    pool = open_pool(Faults(seconds=0.0005), num_workers=num_workers, max_batch=max_batch)
    with ThreadPoolExecutor(16) as threads:
        inferences = list(threads.map(lambda n: pool.infer(image(n), within(LONG)), range(600)))
    for number, inference in enumerate(inferences):
        assert inference.score == inference.reconstruction_error == number
        assert inference.reconstruction.shape == inference.heatmap.shape == (256, 256)
        assert (inference.heatmap == number).all()
        assert (inference.latent == np.full(128, number)).all()
        assert inference.model_version == "v0"


@settings(max_examples=12, deadline=None)
@given(
    num_workers=st.integers(1, 3),
    max_batch=st.integers(1, 5),
    max_queue=st.integers(1, 12),
    budgets=st.lists(st.floats(0.0005, 0.05), min_size=1, max_size=40),
)
def test_whatever_the_load_an_image_is_answered_rightly_and_in_time_or_refused(
    num_workers, max_batch, max_queue, budgets
):
    faults = Faults(seconds=0.001, per_image=0.001)
    pool = EnginePool(serving(faults, num_workers, max_batch), V0, max_queue=max_queue)
    try:
        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(lambda told: ask(pool, *told), enumerate(budgets)))
    finally:
        pool.close()
    for number, (result, overrun) in enumerate(results):
        assert result in (number, "Overloaded", "DeadlineMissed")
        # A loaded machine may wake a thread late; what counts is that nobody waits for a lost answer.
        assert overrun < 0.25
    assert max(faults.calls) <= max_batch


def test_a_single_image_on_an_idle_pool_waits_for_no_company(open_pool):
    faults = Faults()
    pool = open_pool(faults, max_batch=16)
    seconds = []
    for number in range(50):
        started = time.monotonic()
        pool.infer(image(number), within(LONG))
        seconds.append(time.monotonic() - started)
    assert np.median(seconds) < 0.005
    assert set(faults.calls[-50:]) == {1}


def test_images_that_wait_anyway_are_answered_together(open_pool):
    faults = Faults(seconds=0.02)
    pool = open_pool(faults, max_batch=8)
    faults.calls.clear()
    with ThreadPoolExecutor(16) as threads:
        assert sorted(threads.map(lambda n: ask(pool, n)[0], range(64))) == list(range(64))
    assert sum(faults.calls) == 64
    assert max(faults.calls) > 1
    assert len(faults.calls) < 40


def test_what_waits_is_spread_over_idle_engines_before_it_is_batched(open_pool):
    faults = Faults(seconds=0.03)
    pool = open_pool(faults, num_workers=2, max_batch=8)
    started = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda n: ask(pool, n)[0], range(2))) == [0, 1]
    assert time.monotonic() - started < 0.058


def test_an_image_that_the_queue_would_make_late_is_refused_at_once(open_pool):
    pool = open_pool(Faults(seconds=0.05))
    with ThreadPoolExecutor(8) as threads:
        others = [threads.submit(ask, pool, number) for number in range(8)]
        while pool.num_waiting < 7:
            time.sleep(0.001)
        started = time.monotonic()
        with pytest.raises(Overloaded, match="would not leave time"):
            pool.infer(image(99), within(0.15))
        assert time.monotonic() - started < 0.04
        assert sorted(other.result()[0] for other in others) == list(range(8))


def test_a_full_queue_refuses_at_once_however_late_the_deadline(open_pool):
    pool = open_pool(Faults(seconds=0.05), max_queue=2)
    with ThreadPoolExecutor(12) as threads:
        results = list(threads.map(lambda n: ask(pool, n)[0], range(12)))
    counts = Counter(type(result).__name__ for result in results)
    assert counts["float"] >= 3
    assert results.count("Overloaded") == 12 - counts["float"] > 0


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.001])
def test_a_deadline_that_no_engine_could_meet_is_missed_without_work(open_pool, seconds):
    faults = Faults(seconds=0.02)
    pool = open_pool(faults)
    before = len(faults.calls)
    with pytest.raises(DeadlineMissed):
        pool.infer(image(1), within(seconds))
    assert len(faults.calls) == before


def test_a_slow_spell_is_over_with_the_first_image_that_finds_the_pool_idle(open_pool):
    faults = Faults(seconds=0.002)
    pool = open_pool(faults)
    faults.seconds = 0.3
    assert ask(pool, 1, 0.05)[0] == "DeadlineMissed"
    faults.seconds = 0.002
    time.sleep(0.4)
    assert ask(pool, 2, 0.2)[0] == 2


def test_an_engine_that_hangs_costs_its_caller_no_more_than_the_deadline(open_pool):
    faults = Faults()
    pool = open_pool(faults)
    faults.seconds = 0.5
    result, overrun = ask(pool, 1, 0.05)
    assert result == "DeadlineMissed"
    assert overrun < 0.1


def test_a_failing_engine_is_an_error_at_once_and_recovers_by_itself(open_pool):
    faults = Faults()
    pool = open_pool(faults, num_workers=2)
    faults.broken.set()
    started = time.monotonic()
    assert {ask(pool, number)[0] for number in range(6)} == {"EngineFailed"}
    assert time.monotonic() - started < 1.0
    assert not pool.ready
    faults.broken.clear()
    recovered = within(3.0)
    while not pool.ready and time.monotonic() < recovered:
        time.sleep(0.01)
    assert ask(pool, 5)[0] == 5


def test_images_that_wait_for_an_engine_that_fails_are_not_left_waiting(open_pool):
    faults = Faults(seconds=0.05)
    pool = open_pool(faults)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(ask, pool, number) for number in range(8)]
        while pool.num_waiting < 6:
            time.sleep(0.001)
        faults.broken.set()
        started = time.monotonic()
        results = [each.result()[0] for each in asked]
    assert time.monotonic() - started < 2.0
    assert results.count("EngineFailed") >= 7


def test_an_image_that_an_engine_cannot_take_fails_alone(open_pool):
    faults = Faults(seconds=0.01)
    faults.poison = 13
    pool = open_pool(faults, max_batch=8)
    opened = faults.num_opened
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda n: ask(pool, n)[0], range(40)))
    assert [r for n, r in enumerate(results) if n != 13] == [n for n in range(40) if n != 13]
    assert results[13] == "EngineFailed"
    assert faults.num_opened == opened, "the engine was not to blame"
    assert pool.ready


def test_a_swap_under_load_drops_nothing_and_every_answer_names_its_bundle(open_pool):
    faults = Faults(seconds=0.002)
    pool = open_pool(faults, num_workers=2, max_batch=4, max_queue=256)
    stop, wrong, versions, asked_after = threading.Event(), [], Counter(), []

    def camera(first):
        number = first
        while not stop.is_set():
            inference = pool.infer(image(number), within(LONG))
            versions[inference.model_version] += 1
            if inference.score != number + int(inference.model_version[1:]):
                wrong.append(number)
            number = (number + 8) % 4096

    with ThreadPoolExecutor(8) as threads:
        cameras = [threads.submit(camera, first) for first in range(8)]
        for offset in (10_000, 20_000, 30_000):
            time.sleep(0.1)
            pool.swap(Path(f"v{offset}"))
            asked_after.append(pool.infer(image(1), within(LONG)).model_version)
        time.sleep(0.1)
        stop.set()
        for each in cameras:
            each.result()
    assert not wrong
    assert asked_after == ["v10000", "v20000", "v30000"]
    assert pool.model_version == "v30000"
    assert set(versions) == {"v0", "v10000", "v20000", "v30000"}


def test_a_bundle_that_cannot_be_loaded_leaves_the_old_one_serving():
    faults = Faults()
    serve = serving(faults)

    def load(bundle):
        if bundle.name == "v666":
            raise BundleError("not what was saved")
        return serve(bundle)

    pool = EnginePool(load, V0)
    try:
        with pytest.raises(BundleError):
            pool.swap(Path("v666"))
        faults.broken.set()
        with pytest.raises(RuntimeError, match="does not open"):
            pool.swap(Path("v1"))
        faults.broken.clear()
        assert (pool.model_version, ask(pool, 4)[0], pool.ready) == ("v0", 4, True)
    finally:
        pool.close()


def test_a_closed_pool_answers_what_it_accepted_and_nothing_more(open_pool):
    faults = Faults(seconds=0.03)
    pool = open_pool(faults)
    warmed_up = faults.num_begun
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(ask, pool, number) for number in range(4)]
        while faults.num_begun - warmed_up + pool.num_waiting < 4:  # until all four are accepted
            time.sleep(0.001)
        pool.close()
        assert sorted(each.result()[0] for each in asked) == [0, 1, 2, 3]
    assert ask(pool, 1)[0] == "EngineFailed"
    assert not pool.ready
    pool.close()


def test_an_engine_that_answers_for_another_batch_has_failed():
    class Short(EchoEngine):
        def infer(self, pixels):
            outputs = super().infer(pixels)
            return outputs if len(pixels) == 1 else type(outputs)(*(output[:-1] for output in outputs))

    faults = Faults()
    served = serving(faults, max_batch=2)(V0)
    with pytest.raises(EngineError, match="another batch"):
        EnginePool(lambda _: type(served)(**(vars(served) | {"open_engine": lambda: Short(faults)})), V0)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 256, 256), np.uint8),
        np.zeros((256, 255), np.uint8),
        np.zeros((256, 256), np.int32),
        np.full((256, 256), 1.01, np.float32),
        np.full((256, 256), np.nan, np.float32),
    ],
)
def test_an_array_of_another_kind_is_refused(open_pool, pixels):
    with pytest.raises(EngineError, match="cannot take this array"):
        open_pool(Faults()).infer(pixels, within(LONG))


@given(st.integers(0, 255), st.integers(0, 65535))
def test_float_pixels_are_the_image_that_they_were_made_of(eight, sixteen):
    from waferlens.bundle.contents import BundleConfig, model_input

    for kind, value, full in ((np.uint8, eight, 255), (np.uint16, sixteen, 65535)):
        whole = np.full((256, 256), value, kind)
        part = canonical(whole.astype(np.float32) / np.float32(full))
        for input_type in ("uint8", "float32"):
            config = BundleConfig.model_construct(input_type=input_type)
            assert model_input(part[None], config).tobytes() == model_input(whole[None], config).tobytes()


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=4), st.integers(1, 30), st.integers(1, 8), st.floats(0.001, 0.1)
)
def test_the_estimate_is_that_of_a_slow_obvious_simulation(free_at, num_waiting, max_batch, seconds):
    times = ServiceTimes()
    for size in range(1, max_batch + 1):
        times.learn(size, seconds * size)
    free, left, end = sorted(max(0.5, at) for at in free_at), num_waiting, 0.5
    while left:
        batch = min(left, max_batch)
        end = free[0] + seconds * batch
        free = sorted([*free[1:], end])
        left -= batch
    assert expected_end(times, 0.5, free_at, num_waiting, max_batch) == pytest.approx(end)


def test_the_expectation_covers_the_spread_of_what_was_seen():
    times, rng = ServiceTimes(), np.random.default_rng(0)
    seen = rng.gamma(20, 0.0005, 500)
    for seconds in seen:
        times.learn(1, seconds)
    assert np.quantile(seen, 0.8) < times.expected(1) < 3 * seen.mean()
    assert times.expected(4) == pytest.approx(4 * times.expected(1))
    assert times.fastest() == seen.min()


def test_swaps_and_closing_leave_no_thread_behind(open_pool):
    before = set(threading.enumerate())
    pool = open_pool(Faults(), num_workers=3)
    for number in range(1, 6):
        pool.swap(Path(f"v{number}"))
    assert len(set(threading.enumerate()) - before) == 3
    pool.close()
    assert set(threading.enumerate()) <= before

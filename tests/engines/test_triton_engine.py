"""Which server is asked when, and what the caller hears, with servers that a test makes fail."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from echo_engine import EchoEngine, Faults, image

from waferlens.engines.triton import TritonEngine, open_endpoint
from waferlens.engines.triton_endpoint import (
    EndpointBusy,
    EndpointDown,
    EndpointLate,
    RemoteModel,
    configuration_with,
)
from waferlens.engines.triton_names import version_number
from waferlens.errors import BundleError, DeadlineMissed, EngineError, EngineFailed, OptionsError, Overloaded

MODEL = RemoteModel(name="wafer", version="v0.1.0", input_type="uint8")


class FakeServer:
    """An endpoint that answers with an image's number until it is told to die, stand still or refuse."""

    def __init__(self, url="http://a:1", versions=("1000",)):
        self.url, self.versions, self.repository = url, set(versions), set(versions)
        self.dead = self.still = self.busy = False
        self.num_breaks = 0
        self.num_asked = 0
        self.seconds_given = 0.0

    def _answer(self, seconds):
        if self.dead:
            raise EndpointDown("refused")
        if self.still:
            time.sleep(max(0.0, seconds))
            raise EndpointLate("no answer")

    def infer(self, model, images, seconds):
        self.num_asked += 1
        self.seconds_given = seconds
        self._answer(seconds)
        if self.num_breaks:
            self.num_breaks -= 1
            raise EndpointDown("connection reset")
        if self.busy:
            raise EndpointBusy("queue size")
        if model.number not in self.versions:
            raise EndpointDown("not found")
        return EchoEngine(Faults()).infer(images[:, 0])

    def is_ready(self, model, seconds):
        try:
            self._answer(min(seconds, 0.1))
        except EngineError:
            return False
        return model.number in self.versions

    def load(self, model, seconds):
        self._answer(seconds)
        if model.number not in self.repository:
            raise EndpointDown("not in the repository")
        self.versions = {*self.versions, model.number}

    def close(self):
        pass


@pytest.fixture
def two():
    return FakeServer("http://a:1"), FakeServer("http://b:1")


@pytest.fixture
def engine(two):
    built = TritonEngine(two, MODEL)
    yield built
    built.close()


def ask(engine, number=1, seconds=1.0):
    return engine.infer(image(number), time.monotonic() + seconds)


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_servers_take_turns_and_answers_name_their_version(engine, two):
    assert engine.ready
    assert engine.model_version == "wafer-v0.1.0"
    for number in range(10):
        inference = ask(engine, number)
        assert (inference.score, inference.model_version) == (number, "wafer-v0.1.0")
        assert inference.heatmap.shape == (256, 256)
    assert [server.num_asked for server in two] == [5, 5]


def test_a_dead_server_costs_one_attempt_and_comes_back_by_itself(engine, two):
    two[0].dead = True
    assert [ask(engine, n).score for n in range(6)] == list(range(6))
    assert two[0].num_asked == 1
    assert engine.up == ("http://b:1",)
    two[0].dead = False
    until(lambda: len(engine.up) == 2)
    before = two[0].num_asked
    ask(engine)
    ask(engine)
    assert two[0].num_asked == before + 1


def test_a_connection_that_breaks_is_tried_once_more_since_a_proxy_may_have_another_server_behind_it():
    behind_a_proxy = FakeServer()
    engine = TritonEngine([behind_a_proxy], MODEL)
    try:
        behind_a_proxy.num_breaks = 1
        assert ask(engine, 7).score == 7
        assert behind_a_proxy.num_asked == 2
        behind_a_proxy.num_breaks = 2
        with pytest.raises(EngineFailed):
            ask(engine)
        assert behind_a_proxy.num_asked == 4
    finally:
        engine.close()


def test_a_server_that_stands_still_costs_half_the_budget_of_two(engine, two):
    two[0].still = True
    for number in range(2):
        started = time.monotonic()
        assert ask(engine, number, 0.2).score == number
        assert time.monotonic() - started < 0.15
    until(lambda: engine.up == ("http://b:1",))


def test_a_server_that_was_late_comes_behind_the_others_until_its_ready_path_answered(engine, two):
    two[0].still = True
    assert [ask(engine, n, 0.4).score for n in range(2)] == [0, 1]
    assert two[0].num_asked == 1
    for number in range(4):
        assert ask(engine, number, 0.4).score == number
        assert two[1].seconds_given > 0.22  # all of the time, where two that are well get half of it
    assert two[0].num_asked == 1
    two[0].still = False
    until(lambda: len(engine.up) == 2 and ask(engine, 5).score == 5 and two[0].num_asked > 1)


def test_servers_that_were_late_share_the_time_when_no_other_is_left(engine, two):
    for server in two:
        server.still = True
    for _ in range(2):
        with pytest.raises(DeadlineMissed):
            ask(engine, 1, 0.4)
    assert [server.num_asked for server in two] == [2, 2]


@pytest.mark.parametrize(
    ("fault", "error"), [("dead", EngineFailed), ("still", DeadlineMissed), ("busy", Overloaded)]
)
def test_when_no_server_answers_the_caller_hears_why_before_the_deadline(engine, two, fault, error):
    for server in two:
        setattr(server, fault, True)
    deadline = time.monotonic() + 0.3
    with pytest.raises(error):
        engine.infer(image(1), deadline)
    # A loaded machine may wake a thread late that slept for its whole share.
    assert time.monotonic() < deadline + (0.05 if fault == "still" else 0)
    if fault != "busy":
        until(lambda: not engine.ready)


def test_servers_that_stand_still_are_down_once_their_ready_path_was_asked(engine, two):
    for server in two:
        server.still = True
    until(lambda: not engine.ready)
    for server in two:
        server.dead, server.still = True, False
    with pytest.raises(EngineFailed):
        ask(engine, 1, 0.2)


def test_a_busy_server_stays_up_and_its_neighbour_answers(engine, two):
    two[0].busy = True
    assert [ask(engine, n).score for n in range(4)] == list(range(4))
    assert len(engine.up) == 2


def test_no_server_needs_to_be_up_at_the_start():
    servers = FakeServer("http://a:1"), FakeServer("http://b:1")
    for server in servers:
        server.dead = True
    engine = TritonEngine(servers, MODEL)
    try:
        assert (engine.ready, engine.model_version) == (False, "wafer-v0.1.0")
        with pytest.raises(EngineFailed):
            ask(engine)
        servers[1].dead = False
        assert ask(engine, 7).score == 7, "a server that just came up is asked as a last resort"
        until(lambda: engine.ready)
    finally:
        engine.close()
    assert not engine.ready
    with pytest.raises(EngineFailed, match="closed"):
        ask(engine)


@pytest.mark.parametrize("seconds", [-1, 0, 0.001])
def test_a_deadline_that_nobody_could_meet_asks_nobody(engine, two, seconds):
    with pytest.raises(DeadlineMissed):
        ask(engine, 1, seconds)
    assert [server.num_asked for server in two] == [0, 0]


def test_no_more_images_are_under_way_than_allowed(two):
    engine = TritonEngine(two, MODEL, max_in_flight=2)
    for server in two:
        server.still = True
    try:
        with ThreadPoolExecutor(6) as threads:
            asked = [threads.submit(ask, engine, n, 0.3) for n in range(6)]
            kinds = [type(each.exception()) for each in asked]
        assert kinds.count(Overloaded) >= 1
        assert set(kinds) <= {Overloaded, DeadlineMissed, EngineFailed}
    finally:
        engine.close()


def test_a_server_without_the_version_that_decides_is_left_out(engine, two):
    two[1].versions = {"2003001"}
    assert {ask(engine).model_version for _ in range(4)} == {"wafer-v0.1.0"}
    assert engine.up == ("http://a:1",)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://a:1", "http://a", "http://a:b", "grpc://:1", "http://a:1/x"]
)
def test_another_address_is_an_error_that_names_it(url):
    with pytest.raises(OptionsError, match="address of a Triton server"):
        open_endpoint(url)
    with pytest.raises(OptionsError, match="at least one"):
        TritonEngine([], MODEL)


@pytest.mark.parametrize(
    ("version", "number"), [("v0.1.0", 1000), ("v2.3.1", 2003001), ("v0.0.1", 1), ("v999.999.999", 999999999)]
)
def test_a_version_is_a_number_to_triton(version, number):
    assert version_number(version) == number


@pytest.mark.parametrize("version", ["v0.0.0", "2.3.1", "v1.2", "v1.1000.0", "v1.2.3-rc1", ""])
def test_a_version_of_another_form_cannot_be_served(version):
    with pytest.raises(BundleError, match="cannot be served"):
        version_number(version)


def test_later_versions_have_larger_numbers():
    versions = ["v0.0.1", "v0.1.0", "v0.1.1", "v1.0.0", "v1.0.999", "v1.1.0", "v10.0.0"]
    numbers = [version_number(version) for version in versions]
    assert numbers == sorted(numbers)
    assert np.unique(numbers).size == len(numbers)


def test_servers_that_let_a_version_go_are_asked_to_load_it(engine, two):
    for server in two:
        server.versions = {"7"}
    engine.make_ready(5.0)
    assert engine.ready
    assert "1000" in two[0].versions | two[1].versions
    assert "7" in two[0].versions & two[1].versions, "what is served goes on"


def test_one_server_that_can_load_a_version_is_enough_and_none_is_an_error(engine, two):
    for server in two:
        server.versions, server.repository = set(), set()
    with pytest.raises(EngineError, match="not in the repository"):
        engine.make_ready(1.0)
    two[1].repository = {"1000"}
    engine.make_ready(5.0)
    assert engine.ready


def test_a_configuration_gets_one_version_more_with_the_hash_of_its_graph():
    served = {"name": "wafer", "version_policy": {"specific": {"versions": ["7"]}}, "parameters": {"threads": {}}}
    told = json.loads(configuration_with(served, replace(MODEL, graph_sha256="f" * 64)))
    assert told["version_policy"] == {"specific": {"versions": ["7", "1000"]}}
    assert told["parameters"] == {"threads": {}, "sha256_1000": {"string_value": "f" * 64}}
    assert json.loads(configuration_with(told, MODEL))["version_policy"] == told["version_policy"]

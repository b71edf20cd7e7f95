"""A guardrail acts on the record by itself, at the next look, with an alarm and an entry in the audit log."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from lifecycle_examples import WHY, registered

from waferlens.lifecycle.guardrails import Escapes, GuardrailOptions, Health
from waferlens.lifecycle.states import State
from waferlens.records import DecisionKind
from waferlens.storage.inspections import insert_inspection
from waferlens.wiring.guardrails import Guard

sys.path.append(str(Path(__file__).parents[1] / "storage"))
from storage_examples import an_inspection

OPTIONS = GuardrailOptions()


class Alarms:
    """Hears alarms and keeps them."""

    def __init__(self):
        self.heard = []

    def stage(self, name, seconds):
        pass

    def decided(self, kind, score):
        pass

    def alarm(self, failure, detail):
        self.heard.append((failure, detail))


@pytest.fixture
def alarms():
    return Alarms()


@pytest.fixture
def models(database, rollout):
    """A champion, its previous one, and a canary."""
    names = registered(database, rollout, "v1.0.0", "v1.1.0", "v1.2.0")
    rollout.promote(WHY, names[0])
    for name in names[1:]:
        rollout.start(name, WHY)
        rollout.canary(0.1, WHY)
        if name != names[2]:
            rollout.promote(WHY)
    return names


def inspect(database, version, num_wafers, points=4, **told):
    now_ms = time.time_ns() // 1_000_000 + 2
    with database.writing() as connection:
        for wafer in range(num_wafers):
            for point in range(points):
                place = {"wafer_id": f"{version}-{wafer}", "inspection_point": point, "received_ms": now_ms}
                insert_inspection(connection, an_inspection(model_version=version, **place, **told))
    time.sleep(0.01)


def nothing_settled(_version, _since_ms):
    return Escapes(num_defective=0, num_passed=0)


def guard(database, rollout, alarms, settled=nothing_settled):
    return Guard(database, rollout, alarms, OPTIONS, settled)


def test_too_little_is_never_fine_and_nothing_happens(database, rollout, alarms, models):
    inspect(database, models[1], 3)
    inspect(database, models[2], 3)
    found = guard(database, rollout, alarms).check()
    assert [(each.role, each.version) for each in found] == [("canary", models[2]), ("champion", models[1])]
    assert {rail.health for each in found for rail in each.guardrails} == {Health.NOT_ENOUGH_DATA}
    assert (alarms.heard, rollout.find(models[2]).state) == ([], State.CANARY)
    assert found[0].as_dict()["comparison"][0]["champion"] == {"num_events": 0, "num_trials": 3}


def test_a_canary_that_fails_is_refused_at_the_next_look_alarmed_and_audited(
    database, rollout, alarms, models, audit
):
    inspect(database, models[1], 30)
    inspect(database, models[2], 8, failure="engine", decision=DecisionKind.REVIEW, score=None)
    canary, champion = guard(database, rollout, alarms).check()
    assert canary.rolled_back_to == models[1]
    assert champion.rolled_back_to is None
    assert rollout.find(models[2]).state == State.REFUSED
    newest = rollout.history()[0]
    assert newest.actor == "guardrail"
    assert "failures 32 of 32" in newest.reason
    assert alarms.heard[0][0] == "guardrail"
    assert audit.entries(limit=1)[0].actor == "guardrail"
    assert [each.role for each in guard(database, rollout, alarms).check()] == ["champion"]


def test_a_champion_that_lets_defects_escape_is_refused_and_its_predecessor_decides(
    database, rollout, alarms, models
):
    def settled(version, _since):
        return Escapes(num_defective=400, num_passed=20 if version == models[1] else 0)

    inspect(database, models[1], 30)
    found = {each.role: each for each in guard(database, rollout, alarms, settled).check()}
    assert found["champion"].rolled_back_to == models[0]
    assert rollout.roles().champion.version == models[0]
    assert rollout.find(models[1]).state == State.REFUSED
    assert "escape rate 20 of 400" in rollout.history()[0].reason


def test_a_canary_that_rejects_more_wafers_than_the_champion_is_refused(database, rollout, alarms, models):
    inspect(database, models[1], 200, points=1)
    inspect(database, models[2], 40, points=1, decision=DecisionKind.REJECT)
    (canary, _) = guard(database, rollout, alarms).check()
    assert canary.rolled_back_to == models[1]
    assert "REJECT rate" in rollout.history()[0].reason


def test_a_canary_is_not_blamed_where_the_champion_is_slow_in_the_same_hours(database, rollout, alarms, models):
    """The machine is slow: every guardrail of latency alone would roll back whoever is tried."""
    inspect(database, models[1], 60, inference_ms=90.0)
    inspect(database, models[2], 20, inference_ms=90.0)
    for found in guard(database, rollout, alarms).check():
        (latency,) = (each for each in found.guardrails if each.name == "latency")
        assert latency.health is Health.NOT_ENOUGH_DATA
        assert latency.beside.rate == latency.count.rate == 1.0
    assert (alarms.heard, rollout.find(models[2]).state) == ([], State.CANARY)


def test_a_canary_that_is_slow_beside_a_quick_champion_is_refused(database, rollout, alarms, models):
    inspect(database, models[1], 60)
    inspect(database, models[2], 20, inference_ms=90.0)
    assert guard(database, rollout, alarms).check()[0].rolled_back_to == models[1]
    assert "latency 80 of 80" in rollout.history()[0].reason


def test_a_look_changes_nothing(database, rollout, alarms, models):
    inspect(database, models[1], 30)
    inspect(database, models[2], 8, failure="engine", decision=DecisionKind.REVIEW, score=None)
    (canary, _) = guard(database, rollout, alarms).look()
    assert canary.rolled_back_to is None
    assert rollout.find(models[2]).state == State.CANARY

"""The metrics of a rollout say what the record holds, and the series of what is over go."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from waferlens.storage.stored import clock_ms, new_id, received_ms_of

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("storage", "lifecycle")]
from lifecycle_examples import WHY, registered
from storage_examples import an_inspection

import line
from waferlens.records import DecisionKind
from waferlens.storage.inspections import insert_inspection


@pytest.fixture
def service(tmp_path):
    with line.a_service(tmp_path) as opened:
        yield opened


def inspect(service, version, num, at_ms=None, **told):
    with service.record.database.writing() as connection:
        for number in range(num):
            place = {"wafer_id": f"{version}-{number}", "received_ms": at_ms or clock_ms() + 2}
            insert_inspection(connection, an_inspection(model_version=version, **place, **told))


def told_by(service):
    service.figures.refresh(at_once=True)
    return {
        (sample.name.removeprefix("waferlens_"), *sample.labels.values()): sample.value
        for family in service.metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith(("waferlens_rollout", "waferlens_shadow", "waferlens_canary"))
    }


def test_without_a_rollout_nothing_is_tried(service):
    told = told_by(service)
    assert told["rollout_state", "none"] == 1
    assert told["rollout_state", "canary"] == told["shadow_waiting",] == 0
    assert not [each for each in told if each[0] == "rollout_version_info"]


def test_a_rollout_is_told_from_shadow_over_canary_to_its_end(service):
    old, new = registered(service.record.database, service.rollout, "v1.0.0", "v1.1.0")
    service.rollout.promote(WHY, old)
    service.rollout.start(new, WHY)
    inspect(service, old, 3)
    told = told_by(service)
    assert (told["rollout_state", "shadow"], told["rollout_state", "none"]) == (1, 0)
    assert told["rollout_version_info", "challenger", new] == told["rollout_version_info", "champion", old] == 1
    assert told["shadow_waiting",] == 3
    assert 0 <= told["shadow_lag_seconds",] < 60

    service.rollout.canary(0.25, WHY)
    inspect(service, old, 4)
    inspect(service, new, 2, decision=DecisionKind.REJECT)
    told = told_by(service)
    assert told["canary_share",] == 0.25
    assert told["canary_wafers", "champion", "all"] == 4
    assert told["canary_wafers", "canary", "all"] == told["canary_wafers", "canary", "REJECT"] == 2

    service.rollout.abort(WHY)
    told = told_by(service)
    assert told["rollout_state", "none"] == 1
    assert not [each for each in told if each[0] == "canary_wafers" or "challenger" in each]


def test_an_id_tells_when_its_inspection_came():
    assert received_ms_of(new_id(1_700_000_000_123)) == 1_700_000_000_123

"""Alarms and what the watch asks, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import pytest
from storage_examples import an_inspection

from waferlens.errors import Conflict, NotFound
from waferlens.records import DecisionKind
from waferlens.storage.alarms import (
    AlarmKind,
    Finding,
    acknowledge_alarm,
    alarms_between,
    alarms_of,
    clear_alarm,
    raise_alarm,
)
from waferlens.storage.inspections import find_inspection, insert_inspection
from waferlens.storage.schema import inspections
from waferlens.storage.watched import (
    add_appearances,
    busy_minutes,
    doubtful_rows,
    newest_model,
    num_defects_found,
    points_seen,
    seen_rows,
    strata_of_pass,
)

START = 1_700_000_000_000
MODEL = "vae-wafer-tiny-v0.1.0"


def finding(key: str = "station s1", at_ms: int = START, **told) -> Finding:
    usual = {"kind": AlarmKind.DRIFT, "title": "drift", "detail": {"shift": 0.05}, "onset_ms": START - 10}
    return Finding(key=key, at_ms=at_ms, **usual | told)


def test_one_cause_is_one_alarm_while_it_lasts(database):
    with database.writing() as connection:
        first = raise_alarm(connection, finding())
        assert first[1]
        assert raise_alarm(connection, finding(at_ms=START + 5)) == (first[0], False)
        assert raise_alarm(connection, finding(key="station s2"))[1]
        assert raise_alarm(connection, finding(kind=AlarmKind.NOVEL))[1]
    with database.reading() as connection:
        found = alarms_of(connection, only_open=True, limit=10)
        assert [a.kind for a in found] == [AlarmKind.NOVEL, AlarmKind.DRIFT, AlarmKind.DRIFT]
        assert found[-1].last_ms == START + 5
        assert found[-1].raised_ms == START
        assert found[-1].detail == {"shift": 0.05}


def test_an_alarm_is_taken_by_one_person_and_cleared_once(database):
    with database.writing() as connection:
        seq, _ = raise_alarm(connection, finding())
        assert acknowledge_alarm(connection, seq, "ann", START + 1).acknowledged_by == "ann"
        assert acknowledge_alarm(connection, seq, "bob", START + 2).acknowledged_by == "ann"
        assert clear_alarm(connection, seq, "cleo", START + 3).cleared_by == "cleo"
        with pytest.raises(Conflict, match="cleared"):
            clear_alarm(connection, seq, "cleo", START + 4)
        with pytest.raises(Conflict, match="cleared"):
            acknowledge_alarm(connection, seq, "ann", START + 4)
        with pytest.raises(NotFound, match="no such alarm"):
            clear_alarm(connection, seq + 99, "ann", START)
        assert alarms_of(connection, only_open=True, limit=10) == []


def test_a_cleared_alarm_comes_back_only_for_what_was_seen_since(database):
    with database.writing() as connection:
        seq, _ = raise_alarm(connection, finding())
        clear_alarm(connection, seq, "ann", START + 100)
        assert raise_alarm(connection, finding()) == (seq, False)
        again, is_new = raise_alarm(connection, finding(at_ms=START + 50))
        assert is_new
        assert again > seq
        assert len(alarms_between(connection, START, START + 200)) == 2


def test_what_drift_is_watched_on_is_what_was_recorded(database):
    with database.writing() as connection:
        insert_inspection(connection, an_inspection(received_ms=START, brightness=0.44))
        insert_inspection(connection, an_inspection(received_ms=START + 1, model_version="other-v1"))
        insert_inspection(connection, an_inspection(received_ms=START + 2, score=None, latent=None))
        rows = list(seen_rows(connection, MODEL, START, START + 100))
        assert newest_model(connection) == MODEL
    assert len(rows) == 1
    assert rows[0][8] == 0.44
    assert rows[0][5] == "PASS"


def test_an_inspection_keeps_its_brightness_and_old_ones_have_none(database):
    with database.writing() as connection:
        old, new = an_inspection(), an_inspection(brightness=0.5)
        insert_inspection(connection, old)
        insert_inspection(connection, new)
        assert find_inspection(connection, new.id).brightness == 0.5
        assert find_inspection(connection, old.id).brightness is None
    assert "brightness" in inspections.c


def test_doubtful_images_come_with_what_they_look_like_once_it_is_known(database):
    with database.writing() as connection:
        doubtful = an_inspection(received_ms=START, decision=DecisionKind.REJECT)
        insert_inspection(connection, doubtful)
        insert_inspection(connection, an_inspection(received_ms=START + 1))
        before = doubtful_rows(connection, MODEL, START, START + 10)
        add_appearances(connection, [(doubtful.id, b"1234")])
        add_appearances(connection, [(doubtful.id, b"5678")])
        after = doubtful_rows(connection, MODEL, START, START + 10)
    assert [row[4] for row in before] == [None]
    assert [bytes(row[4]) for row in after] == [b"1234"]


def test_a_point_that_was_inspected_again_counts_with_its_last_result(database):
    with database.writing() as connection:
        for moment, decision in ((START, DecisionKind.REJECT), (START + 1, DecisionKind.PASS)):
            insert_inspection(connection, an_inspection(received_ms=moment, decision=decision, inspection_point=3))
        seen = points_seen(connection, START, START + 10)
    assert [(p.inspection_point, p.decision) for p in seen] == [(3, DecisionKind.PASS)]


def test_strata_count_what_passed_by_score_and_nothing_else(database):
    with database.writing() as connection:
        for score in (0.1, 0.2, 1.0, 1.9):
            insert_inspection(connection, an_inspection(received_ms=START, score=score))
        insert_inspection(connection, an_inspection(received_ms=START, score=5.0, decision=DecisionKind.REJECT))
        counts = strata_of_pass(connection, START, START + 10, [0.5, 1.5])
        assert num_defects_found(connection, START, START + 10) == 0
    assert [c.num_images for c in counts] == [2, 1, 1]
    assert sum(c.num_audits for c in counts) == 0


def test_minutes_tell_how_many_images_failed_for_the_services_own_fault(database):
    with database.writing() as connection:
        insert_inspection(connection, an_inspection(received_ms=START))
        insert_inspection(connection, an_inspection(received_ms=START + 1, failure="engine"))
        insert_inspection(connection, an_inspection(received_ms=START + 2, failure="image"))
        insert_inspection(connection, an_inspection(received_ms=START + 120_000))
        minutes = busy_minutes(connection, START, START + 500_000)
    assert [(num, failed) for _, num, failed in minutes] == [(3, 1), (1, 0)]

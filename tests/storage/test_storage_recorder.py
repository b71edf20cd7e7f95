"""The thread that writes: many at once, never the wrong one refused, what it cannot write waits in the journal."""

from __future__ import annotations

from concurrent.futures import wait

import pytest
from storage_examples import an_inspection

import line
from waferlens.errors import DuplicateRequest, RecordLost
from waferlens.storage.blobs import LocalBlobs
from waferlens.storage.inspections import InspectionFilter, page_of_inspections
from waferlens.storage.journal import Journal
from waferlens.storage.recorder import Recorder


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


@pytest.fixture
def recorder(database, journal, tmp_path):
    running = Recorder(database, LocalBlobs(tmp_path / "blobs"), journal)
    yield running
    running.close()


def recorded_ids(database):
    with database.reading() as connection:
        return {each.id for each in page_of_inspections(connection, InspectionFilter(), limit=10_000)}


def test_everything_that_waits_is_written_and_named_durable(recorder, database):
    stored = [an_inspection(inspection_point=number) for number in range(600)]
    written = [recorder.submit(each) for each in stored]
    wait(written)
    assert {each.result() for each in written} == {"database"}
    assert recorded_ids(database) == {each.id for each in stored}


def test_one_that_is_there_already_is_refused_and_those_beside_it_are_not(recorder, database):
    first = an_inspection(idempotency_key="k", request_hash="1" * 64)
    recorder.submit(first).result()
    others = [an_inspection(inspection_point=number) for number in range(20)]
    written = [recorder.submit(each) for each in others[:10]]
    again = recorder.submit(an_inspection(idempotency_key="k", request_hash="1" * 64))
    written += [recorder.submit(each) for each in others[10:]]
    with pytest.raises(DuplicateRequest):
        again.result()
    wait(written)
    assert recorded_ids(database) == {first.id} | {each.id for each in others}


def test_what_waits_in_the_journal_is_drained_once(recorder, database, journal):
    waiting = [an_inspection(inspection_point=number) for number in range(5)]
    for each in waiting:
        journal.keep(each)
    recorder.submit(waiting[0]).result()  # it had reached the database, only its answer was lost
    line.wait_until(lambda: journal.num_waiting() == 0)
    assert recorded_ids(database) == {each.id for each in waiting}


def test_a_retry_that_was_recorded_meanwhile_does_not_cost_the_first_record(recorder, database, journal):
    retry = an_inspection(idempotency_key="k", request_hash="1" * 64)
    recorder.submit(retry).result()
    first = an_inspection(idempotency_key="k", request_hash="1" * 64)
    journal.keep(first)
    line.wait_until(lambda: journal.num_waiting() == 0)
    assert recorded_ids(database) == {retry.id, first.id}


def test_an_entry_that_the_database_refuses_holds_no_other_up(database_url, database, recorder, journal):
    if database.is_sqlite:
        poison, good = an_inspection(confidence=None), an_inspection()
    else:
        poison, good = an_inspection(reason="\0"), an_inspection()
    journal.keep(poison)
    journal.keep(good)
    line.wait_until(lambda: recorded_ids(database) == {good.id})
    assert journal.find(poison.id) is not None


def test_a_recorder_that_is_closing_takes_no_more(database, journal, tmp_path):
    recorder = Recorder(database, LocalBlobs(tmp_path / "blobs"), journal)
    recorder.close()
    with pytest.raises(RecordLost):
        recorder.submit(an_inspection()).result()

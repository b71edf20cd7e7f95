"""The record answers its questions, the same on both databases."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from storage_examples import an_inspection

from waferlens.errors import OptionsError
from waferlens.records import DecisionKind
from waferlens.storage import inspections as questions
from waferlens.storage.database import open_database
from waferlens.storage.inspections import InspectionFilter
from waferlens.storage.retention import delete_older_than
from waferlens.storage.stored import HOUR_MS, Rendering, StoredInspection, first_id_at, new_id
from waferlens.storage.tables import metadata

PASS, REVIEW, REJECT = DecisionKind


def insert_all(database, stored):
    with database.writing() as connection:
        for each in stored:
            questions.insert_inspection(connection, each)


def page(database, limit=50, before_id=None, **told):
    with database.reading() as connection:
        return questions.page_of_inspections(
            connection, InspectionFilter(**told), limit=limit, before_id=before_id
        )


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(database):
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_services_that_start_together_migrate_once(database_url):
    code = f"from waferlens.storage.database import *; migrate(open_database({database_url!r}))"
    with ThreadPoolExecutor() as pool:
        started = [pool.submit(subprocess.run, [sys.executable, "-c", code], check=True) for _ in range(3)]
    assert [each.result().returncode for each in started] == [0, 0, 0]


def test_an_unknown_kind_of_database_is_refused():
    with pytest.raises(OptionsError, match="sqlite or postgresql"):
        open_database("mysql://somewhere/else")


def test_what_is_stored_is_found_as_it_was(database):
    stored = an_inspection(lot_id="L-7", reason="why", failure="engine", timings={"a": 1.5, "b": 2.0})
    insert_all(database, [stored])
    with database.reading() as connection:
        assert questions.find_inspection(connection, stored.id) == stored
        assert questions.find_inspection(connection, new_id()) is None


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1))
def test_ids_sort_as_their_times_do(one, other):
    assert (new_id(one) < new_id(other)) == (one < other) or one == other
    assert first_id_at(one) <= new_id(one) < first_id_at(min(one + 1, 2**48 - 1)) or one >= 2**48 - 2


@given(st.builds(an_inspection, reason=st.none() | st.text(), latent=st.none() | st.binary(max_size=32)))
def test_the_journal_form_gives_the_inspection_back(stored):
    assert StoredInspection.from_json(stored.to_json()) == stored


def test_pages_follow_each_other_from_the_newest_without_a_gap(database):
    stored = [an_inspection(received_ms=1_700_000_000_000 + number) for number in range(25)]
    insert_all(database, stored)
    seen, before = [], None
    while found := page(database, limit=10, before_id=before):
        seen += found
        before = found[-1].id
    assert seen == stored[::-1]


def test_a_filter_gives_what_it_names_and_nothing_else(database):
    wanted = an_inspection(
        wafer_id="WF-2", product="memory", decision=REVIEW, failure="image", received_ms=1_700_000_005_000
    )
    others = [
        an_inspection(decision=REJECT),
        an_inspection(wafer_id="WF-2", received_ms=1_700_000_009_000),
        an_inspection(product="memory"),
    ]
    insert_all(database, [wanted, *others])
    both = {"wafer_id": "WF-2", "product": "memory", "decision": REVIEW, "failed": True}
    assert page(database, **both) == [wanted]
    assert page(database, failed=False, wafer_id="WF-2") == [others[1]]
    assert page(database, since_ms=1_700_000_005_000, until_ms=1_700_000_009_000) == [wanted]
    assert page(database, wafer_id="WF-2' OR '1'='1") == []


def test_a_point_inspected_again_counts_once_with_its_last_result(database):
    first = an_inspection(inspection_point=3, decision=REJECT)
    again = an_inspection(inspection_point=3, received_ms=1_700_000_000_500)
    other = an_inspection(inspection_point=1)
    insert_all(database, [first, again, other, an_inspection(wafer_id="WF-9")])
    with database.reading() as connection:
        assert questions.points_of_wafer(connection, "WF-1") == [other, again]
        assert questions.newest_at_point(connection, "WF-1", 3) == again
        wafers = questions.recent_wafers(connection, num_inspections=100)
    assert {(wafer, count) for wafer, _, count in wafers} == {("WF-1", 3), ("WF-9", 1)}


def test_hours_are_counted_by_decision(database):
    hour = 472_222 * HOUR_MS
    moments = [(hour, PASS), (hour + HOUR_MS - 1, PASS), (hour + HOUR_MS - 1, REJECT), (hour + HOUR_MS, REVIEW)]
    insert_all(database, [an_inspection(received_ms=at, decision=kind) for at, kind in moments])
    with database.reading() as connection:
        counts = questions.hourly_counts(connection, since_ms=hour, until_ms=hour + 2 * HOUR_MS)
    assert [((c.hour_ms - hour) // HOUR_MS, c.decision, c.num_inspections) for c in counts] == [
        (0, PASS, 2),
        (0, REJECT, 1),
        (1, REVIEW, 1),
    ]


def test_an_idempotency_key_is_a_stations_own_and_stands_for_one_request(database):
    mine = an_inspection(idempotency_key="k", request_hash="a" * 64)
    insert_all(database, [mine, an_inspection(idempotency_key="k", request_hash="b" * 64, station="camera-2")])
    with database.reading() as connection:
        assert questions.find_by_key(connection, "camera-1", "k")[0] == "a" * 64
        assert questions.find_by_key(connection, "camera-3", "k") is None
    again = an_inspection(idempotency_key="k", request_hash="c" * 64)
    with pytest.raises(IntegrityError), database.writing() as connection:
        questions.insert_inspection(connection, again)
    with database.reading() as connection:
        assert questions.find_inspection(connection, again.id) is None


def test_what_has_no_picture_yet_is_named_oldest_first(database):
    old, new = an_inspection(received_ms=1_700_000_000_000), an_inspection(received_ms=1_700_000_001_000)
    failed = an_inspection(score=None, decision=REVIEW)
    insert_all(database, [new, old, failed])

    def undrawn():
        with database.reading() as connection:
            return questions.not_yet_rendered(
                connection, since_ms=1_699_999_999_000, until_ms=1_700_000_002_000, limit=9
            )

    assert undrawn() == [old, new]
    drawn = Rendering(inspection_id=old.id, heatmap="1" * 64, reconstruction="2" * 64)
    with database.writing() as connection:
        questions.insert_rendering(connection, drawn)
    with database.writing() as connection:
        questions.insert_rendering(
            connection, Rendering(inspection_id=old.id, heatmap="3" * 64, reconstruction="4")
        )
        assert questions.find_rendering(connection, old.id) == drawn
    assert undrawn() == [new]


def test_retention_deletes_what_is_old_but_not_what_is_to_be_kept(database):
    old_pass, old_reject = an_inspection(received_ms=1000), an_inspection(received_ms=1000, decision=REJECT)
    young = an_inspection()
    insert_all(database, [old_pass, old_reject, young])
    with database.writing() as connection:
        gone = delete_older_than(connection, 2000, [REVIEW, REJECT], limit=10)
    assert (gone.num_inspections, gone.originals) == (1, {old_pass.original})
    assert {each.id for each in page(database)} == {old_reject.id, young.id}

"""Backup and restore give the record back, also into the other database; retention forgets what it may."""

from __future__ import annotations

import json
import os
import time

import pytest
from storage_examples import an_inspection

from waferlens.errors import BlobMissing, DataError
from waferlens.records import DecisionKind
from waferlens.storage.accounts import Accounts, Role
from waferlens.storage.audit import AuditLog
from waferlens.storage.backup import back_up, restore
from waferlens.storage.blobs import LocalBlobs
from waferlens.storage.database import migrate, open_database
from waferlens.storage.histories import Band, add_band, newest_band
from waferlens.storage.inspections import (
    InspectionFilter,
    insert_inspection,
    insert_rendering,
    page_of_inspections,
)
from waferlens.storage.retention import forget_old
from waferlens.storage.stored import Rendering

DAY_MS = 86_400_000


@pytest.fixture
def blobs(tmp_path):
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request, tmp_path):
    """The database of a new record."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    else:
        url = request.getfixturevalue("postgresql").new_database()
    opened = open_database(url)
    migrate(opened)
    yield opened
    opened.close()


def store(database, blobs, **told):
    original, heatmap = blobs.put(os.urandom(100)), blobs.put(os.urandom(50))
    inspection = an_inspection(original=original, **told)
    with database.writing() as connection:
        insert_inspection(connection, inspection)
        insert_rendering(
            connection, Rendering(inspection_id=inspection.id, heatmap=heatmap, reconstruction=heatmap)
        )
    return inspection


def everything(database):
    with database.reading() as connection:
        return page_of_inspections(connection, InspectionFilter(), limit=10_000)


def a_band(review: float) -> Band:
    return Band(model_version="m", review_threshold=review, reject_threshold=9, reason="r", set_by="a", set_ms=1)


def test_a_restored_record_is_the_one_that_was_backed_up(database, audit, blobs, elsewhere, tmp_path):
    same = blobs.put(b"same")
    with database.writing() as connection:
        for number in range(1203):
            insert_inspection(connection, an_inspection(original=same, inspection_point=number))
    kept = store(database, blobs)
    accounts = Accounts(database, audit)
    key = accounts.create_key("camera-1", Role.STATION, "tests")
    with database.writing() as connection:
        add_band(connection, a_band(1.0))

    counts = back_up(database, blobs, tmp_path / "backup")
    assert counts["inspections"] == 1204
    new_blobs = LocalBlobs(tmp_path / "new-blobs")
    restore(elsewhere, new_blobs, tmp_path / "backup")

    assert everything(elsewhere) == everything(database)
    assert new_blobs.get(kept.original) == blobs.get(kept.original)
    new_audit = AuditLog(elsewhere, tmp_path / "new-head.json")
    assert new_audit.verify() == 1
    assert Accounts(elsewhere, new_audit).identify(key).name == "camera-1"
    with elsewhere.writing() as connection:  # numbers go on where they stood
        add_band(connection, a_band(2.0))
        assert newest_band(connection, "m") == a_band(2.0)


def test_a_backup_that_was_altered_or_a_record_that_is_in_use_is_refused(database, blobs, tmp_path):
    store(database, blobs)
    back_up(database, blobs, tmp_path / "backup")
    with pytest.raises(DataError, match="not empty"):
        restore(database, blobs, tmp_path / "backup")
    with pytest.raises(DataError, match="new or an empty folder"):
        back_up(database, blobs, tmp_path / "backup")
    manifest = tmp_path / "backup" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"sha256": "0" * 64}))
    with pytest.raises(DataError, match="not what was backed up"):
        restore(database, blobs, tmp_path / "backup")
    with pytest.raises(DataError, match="not a backup"):
        restore(database, blobs, tmp_path)


def test_an_original_that_is_gone_is_an_error_of_the_backup(database, blobs, tmp_path):
    blobs.delete(store(database, blobs).original)
    with pytest.raises(BlobMissing):
        back_up(database, blobs, tmp_path / "backup")


def test_the_policy_forgets_what_passed_and_later_everything(database, blobs):
    now_ms = time.time_ns() // 1_000_000
    ages = {"old": 400, "middle": 100, "young": 1}
    stored = {
        (age, kind): store(database, blobs, received_ms=now_ms - days * DAY_MS, decision=kind)
        for age, days in ages.items()
        for kind in (DecisionKind.PASS, DecisionKind.REJECT)
    }
    for name in list(blobs.names()):
        path = next(blobs.folder.rglob(name))
        os.utime(path, (0, 0))
    shared = an_inspection(received_ms=now_ms, original=stored["middle", DecisionKind.PASS].original)
    with database.writing() as connection:
        insert_inspection(connection, shared)

    gone = forget_old(database, blobs, pass_days=30, all_days=365)
    left = {each.id for each in everything(database)}
    assert gone.num_inspections == 3
    assert left == {
        stored["middle", DecisionKind.REJECT].id,
        stored["young", DecisionKind.PASS].id,
        stored["young", DecisionKind.REJECT].id,
        shared.id,
    }
    for each in everything(database):
        assert blobs.get(each.original)
    with pytest.raises(BlobMissing):
        blobs.get(stored["old", DecisionKind.REJECT].original)


def test_an_image_that_was_just_posted_again_is_not_forgotten(database, blobs):
    inspection = store(database, blobs, received_ms=1000)
    assert forget_old(database, blobs, pass_days=1, all_days=1).num_inspections == 1
    assert blobs.get(inspection.original)


def test_a_passed_image_that_people_looked_at_is_kept_as_long_as_those_in_doubt(database, blobs):
    from waferlens.storage.review_queue import add_items
    from waferlens.storage.review_stored import Purpose, ReviewItem

    audited, other = (store(database, blobs, received_ms=1000, decision=DecisionKind.PASS) for _ in range(2))
    item = ReviewItem(
        id="i" * 32,
        inspection_id=audited.id,
        purpose=Purpose.AUDIT,
        seat=1,
        blind=True,
        addressee="everybody",
        slack=0.5,
        admitted_ms=1000,
    )
    with database.writing() as connection:
        add_items(connection, [item])
    assert forget_old(database, blobs, pass_days=1, all_days=None).num_inspections == 1
    assert {each.id for each in everything(database)} == {audited.id}
    assert forget_old(database, blobs, pass_days=None, all_days=1).num_inspections == 1
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM review_items").scalar_one() == 0
    assert other.id != audited.id

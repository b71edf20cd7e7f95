"""Alarms for doors: listed, acknowledged, cleared; what a person does stands in the audit log."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from waferlens.storage.alarms import StoredAlarm, acknowledge_alarm, alarms_of, clear_alarm
from waferlens.storage.database import Database
from waferlens.storage.stored import clock_ms
from waferlens.wiring.record import Record

_Change = Callable[[Connection, int, str, int], StoredAlarm]


def listed(database: Database, *, only_open: bool, limit: int) -> list[StoredAlarm]:
    """Alarms, newest first. Raises DatabaseLost."""
    with database.reading() as connection:
        return alarms_of(connection, only_open=only_open, limit=limit)


def acknowledge(record: Record, seq: int, person: str) -> StoredAlarm:
    """Somebody takes it. Raises NotFound, Conflict, DatabaseLost."""
    return _change(record, acknowledge_alarm, "alarm acknowledged", seq, person)


def clear(record: Record, seq: int, person: str) -> StoredAlarm:
    """Its cause is gone. Raises NotFound, Conflict, DatabaseLost."""
    return _change(record, clear_alarm, "alarm cleared", seq, person)


def _change(record: Record, change: _Change, action: str, seq: int, person: str) -> StoredAlarm:
    with record.database.writing() as connection:
        alarm = change(connection, seq, person, clock_ms())
        entry = record.audit.append(connection, person, action, {"alarm": seq, "title": alarm.title})
    record.audit.note_head(entry)
    return alarm

"""The questions that are asked of alarms, each a function. Every one takes an open transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from waferlens.errors import Conflict, NotFound
from waferlens.storage.watch_tables import alarms, watch_runs


class AlarmKind(StrEnum):
    """What is alarming."""

    DRIFT = "drift"
    WEEK = "week"
    POINT = "point"
    NOVEL = "novel"
    SIGNATURE = "signature"
    ESCAPES = "escapes"
    SERVICE = "service"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a watch found. key: the same for the same cause, so that it is one alarm while it lasts.

    title: one line for people. detail: for JSON. onset_ms: since when; at_ms: when it was seen.
    """

    kind: AlarmKind
    key: str
    title: str
    detail: dict[str, Any]
    onset_ms: int
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class StoredAlarm:
    """An alarm as it stands. ``*_by`` and its moment are None until somebody did it."""

    seq: int
    kind: AlarmKind
    key: str
    title: str
    detail: dict[str, Any]
    onset_ms: int
    raised_ms: int
    last_ms: int
    acknowledged_ms: int | None
    acknowledged_by: str | None
    cleared_ms: int | None
    cleared_by: str | None


def raise_alarm(connection: Connection, finding: Finding) -> tuple[int, bool]:
    """The alarm of this finding, and whether it is new. One that is open goes on; one that was cleared comes
    back only for what was seen after that."""
    same = (alarms.c.kind == str(finding.kind)) & (alarms.c.key == finding.key)
    last = connection.execute(select(alarms).where(same).order_by(alarms.c.seq.desc()).limit(1)).mappings().first()
    if last is not None and last["cleared_ms"] is None:
        seen = max(int(last["last_ms"]), finding.at_ms)
        connection.execute(update(alarms).where(alarms.c.seq == last["seq"]).values(last_ms=seen))
        return int(last["seq"]), False
    if last is not None and finding.at_ms <= last["last_ms"]:
        return int(last["seq"]), False
    row = {
        "kind": str(finding.kind),
        "key": finding.key,
        "title": finding.title,
        "detail": json.dumps(finding.detail, sort_keys=True),
        "onset_ms": finding.onset_ms,
        "raised_ms": finding.at_ms,
        "last_ms": finding.at_ms,
    }
    inserted = connection.execute(insert(alarms).returning(alarms.c.seq), row)
    return int(inserted.scalar_one()), True


def alarms_of(connection: Connection, *, only_open: bool, limit: int) -> list[StoredAlarm]:
    """Alarms, newest first."""
    query = select(alarms).order_by(alarms.c.seq.desc()).limit(limit)
    if only_open:
        query = query.where(alarms.c.cleared_ms.is_(None))
    return [_alarm_of(row) for row in connection.execute(query).mappings()]


def alarms_between(connection: Connection, since_ms: int, until_ms: int) -> list[StoredAlarm]:
    """Alarms that were raised in a period, oldest first."""
    query = (
        select(alarms)
        .where(alarms.c.raised_ms >= since_ms, alarms.c.raised_ms < until_ms)
        .order_by(alarms.c.raised_ms, alarms.c.seq)
    )
    return [_alarm_of(row) for row in connection.execute(query).mappings()]


def acknowledge_alarm(connection: Connection, seq: int, person: str, at_ms: int) -> StoredAlarm:
    """Somebody has seen it; the first one stays. Raises NotFound, Conflict when it is cleared."""
    alarm = find_alarm(connection, seq)
    if alarm.cleared_ms is not None:
        raise Conflict("this alarm is cleared", expected="an open alarm", found=str(seq))
    if alarm.acknowledged_ms is None:
        _change(connection, seq, acknowledged_ms=at_ms, acknowledged_by=person)
    return find_alarm(connection, seq)


def clear_alarm(connection: Connection, seq: int, person: str, at_ms: int) -> StoredAlarm:
    """Its cause is gone, somebody says. Raises NotFound, Conflict when it was cleared before."""
    if find_alarm(connection, seq).cleared_ms is not None:
        raise Conflict("this alarm is cleared already", expected="an open alarm", found=str(seq))
    _change(connection, seq, cleared_ms=at_ms, cleared_by=person)
    return find_alarm(connection, seq)


def open_by_kind(connection: Connection) -> dict[AlarmKind, int]:
    """How many alarms nobody cleared; every kind is there."""
    query = select(alarms.c.kind, func.count()).where(alarms.c.cleared_ms.is_(None)).group_by(alarms.c.kind)
    counts = {row[0]: int(row[1]) for row in connection.execute(query)}
    return {kind: counts.get(str(kind), 0) for kind in AlarmKind}


def note_run(connection: Connection, part: str, ran_ms: int, figures: dict[str, Any]) -> None:
    """What a part of the watch counted when it ran last. figures: for JSON."""
    connection.execute(delete(watch_runs).where(watch_runs.c.part == part))
    connection.execute(insert(watch_runs), {"part": part, "ran_ms": ran_ms, "figures": json.dumps(figures)})


def last_runs(connection: Connection) -> dict[str, tuple[int, dict[str, Any]]]:
    """When each part ran last, and what it counted."""
    rows = connection.execute(select(watch_runs))
    return {row.part: (int(row.ran_ms), json.loads(row.figures)) for row in rows}


def find_alarm(connection: Connection, seq: int) -> StoredAlarm:
    """One alarm. Raises NotFound."""
    row = connection.execute(select(alarms).where(alarms.c.seq == seq)).mappings().first()
    if row is None:
        raise NotFound("no such alarm", found=str(seq))
    return _alarm_of(row)


def _change(connection: Connection, seq: int, **values: Any) -> None:
    connection.execute(update(alarms).where(alarms.c.seq == seq).values(**values))


def _alarm_of(row: Any) -> StoredAlarm:
    told = dict(row)
    return StoredAlarm(**told | {"kind": AlarmKind(told["kind"]), "detail": json.loads(told["detail"])})

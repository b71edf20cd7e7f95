"""What the watch asks of the record. SQL of the watch lives here; every function takes an open transaction.

Columns come as they are needed and no more: a week is half a million rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, insert, select

from waferlens.records import DecisionKind
from waferlens.storage.review_stored import Purpose
from waferlens.storage.review_tables import review_items, settlements
from waferlens.storage.schema import inspections
from waferlens.storage.stored import first_id_at
from waferlens.storage.watch_tables import appearances

_PASS, _REJECT = str(DecisionKind.PASS), str(DecisionKind.REJECT)
_MINUTE_MS = 60_000


@dataclass(frozen=True, kw_only=True)
class PointSeen:
    """The last inspection of a point of a wafer, as a signature needs it."""

    wafer_id: str
    lot_id: str | None
    product: str
    inspection_point: int
    decision: DecisionKind


@dataclass(frozen=True, kw_only=True)
class StratumCounts:
    """PASS inspections of one range of scores. num_audits: settled by a blind audit; num_escapes: as REJECT."""

    num_images: int
    num_audits: int
    num_escapes: int


def newest_model(connection: Connection) -> str | None:
    """The model of the last inspection."""
    query = select(inspections.c.model_version).order_by(inspections.c.id.desc()).limit(1)
    return connection.execute(query).scalar()


def seen_rows(connection: Connection, model_version: str, since_ms: int, until_ms: int) -> Iterator[Any]:
    """What drift is watched on, oldest first: (wafer_id, station, product, inspection_point, received_ms,
    decision, score, reconstruction_error, brightness, latent) of images that this model inferred."""
    table = inspections.c
    query = (
        select(
            *(table.wafer_id, table.station, table.product, table.inspection_point, table.received_ms),
            *(table.decision, table.score, table.reconstruction_error, table.brightness, table.latent),
        )
        .where(*_inferred(model_version, since_ms, until_ms))
        .order_by(table.id)
    )
    yield from connection.execution_options(yield_per=5000).execute(query)


def doubtful_rows(connection: Connection, model_version: str, since_ms: int, until_ms: int) -> list[Any]:
    """(id, wafer_id, received_ms, original, looks, defect_class) of images that did not pass, oldest first.

    looks: None where it was not described yet. defect_class: of the last settlement that names one.
    """
    table = inspections.c
    named = (
        select(settlements.c.defect_class)
        .where(settlements.c.inspection_id == table.id)
        .order_by(settlements.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(table.id, table.wafer_id, table.received_ms, table.original, appearances.c.looks, named)
        .outerjoin(appearances, appearances.c.inspection_id == table.id)
        .where(*_inferred(model_version, since_ms, until_ms), table.decision != _PASS)
        .order_by(table.id)
    )
    return list(connection.execute(query))


def add_appearances(connection: Connection, looks: Sequence[tuple[str, bytes]]) -> None:
    """What some images look like; one that is there already stays."""
    ids = [inspection_id for inspection_id, _ in looks]
    there = set(
        connection.execute(
            select(appearances.c.inspection_id).where(appearances.c.inspection_id.in_(ids))
        ).scalars()
    )
    rows = [{"inspection_id": each, "looks": content} for each, content in looks if each not in there]
    if rows:
        connection.execute(insert(appearances), rows)


def points_seen(connection: Connection, since_ms: int, until_ms: int) -> list[PointSeen]:
    """The last inspection of every point of every wafer of a period."""
    table = inspections.c
    newest = (
        select(func.max(table.id))
        .where(table.id >= first_id_at(since_ms), table.id < first_id_at(until_ms))
        .group_by(table.wafer_id, table.inspection_point)
        .scalar_subquery()
    )
    query = (
        select(table.wafer_id, table.lot_id, table.product, table.inspection_point, table.decision)
        .where(table.id.in_(newest))
        .order_by(table.id)
    )
    return [
        PointSeen(
            wafer_id=row.wafer_id,
            lot_id=row.lot_id,
            product=row.product,
            inspection_point=row.inspection_point,
            decision=DecisionKind(row.decision),
        )
        for row in connection.execute(query)
    ]


def strata_of_pass(
    connection: Connection, since_ms: int, until_ms: int, cuts: Iterable[float]
) -> list[StratumCounts]:
    """PASS inspections of a period by score: below the first cut, between cuts, from the last on."""
    table = inspections.c
    bounds = sorted(cuts)
    stratum = case(*[(table.score < cut, number) for number, cut in enumerate(bounds)], else_=len(bounds))
    now = _settled_now().subquery()
    audited = (
        select(review_items.c.inspection_id)
        .where(review_items.c.purpose == str(Purpose.AUDIT), review_items.c.closed_ms.is_not(None))
        .distinct()
        .subquery()
    )
    judged = and_(audited.c.inspection_id.is_not(None), now.c.disposition.is_not(None))
    query = (
        select(
            stratum.label("stratum"),
            func.count().label("num"),
            func.sum(case((judged, 1), else_=0)).label("audits"),
            func.sum(case((and_(judged, now.c.disposition == _REJECT), 1), else_=0)).label("escapes"),
        )
        .select_from(inspections)
        .outerjoin(audited, audited.c.inspection_id == table.id)
        .outerjoin(now, now.c.inspection_id == table.id)
        .where(
            table.id >= first_id_at(since_ms),
            table.id < first_id_at(until_ms),
            table.decision == _PASS,
            table.score.is_not(None),
        )
        .group_by("stratum")
    )
    counts = {row.stratum: row for row in connection.execute(query)}
    return [
        StratumCounts(
            num_images=counts[s].num if s in counts else 0,
            num_audits=int(counts[s].audits) if s in counts else 0,
            num_escapes=int(counts[s].escapes) if s in counts else 0,
        )
        for s in range(len(bounds) + 1)
    ]


def num_defects_found(connection: Connection, since_ms: int, until_ms: int) -> int:
    """Images that did not pass and that people settled to be defective."""
    now, table = _settled_now().subquery(), inspections.c
    query = (
        select(func.count())
        .select_from(inspections)
        .join(now, now.c.inspection_id == table.id)
        .where(
            table.id >= first_id_at(since_ms),
            table.id < first_id_at(until_ms),
            table.decision != _PASS,
            now.c.disposition == _REJECT,
        )
    )
    return int(connection.execute(query).scalar_one())


def last_audit_ms(connection: Connection) -> int:
    """When a blind audit was settled last; 0: never."""
    query = (
        select(func.max(settlements.c.settled_ms))
        .join(review_items, review_items.c.inspection_id == settlements.c.inspection_id)
        .where(review_items.c.purpose == str(Purpose.AUDIT))
    )
    return int(connection.execute(query).scalar() or 0)


def busy_minutes(connection: Connection, since_ms: int, until_ms: int) -> list[tuple[int, int, int]]:
    """(minute since 1970, inspections, of these that failed for the service's own fault), oldest first."""
    table = inspections.c
    minute = (table.received_ms // _MINUTE_MS).label("minute")
    failed = func.sum(case((table.failure.in_(("engine", "deadline", "internal", "score")), 1), else_=0))
    query = (
        select(minute, func.count(), failed)
        .where(table.received_ms >= since_ms, table.received_ms < until_ms)
        .group_by(minute)
        .order_by(minute)
    )
    return [(int(row[0]), int(row[1]), int(row[2] or 0)) for row in connection.execute(query)]


def latencies(connection: Connection, since_ms: int, until_ms: int, limit: int = 100_000) -> list[str]:
    """The stages of the newest inspections of a period, each as its JSON."""
    table = inspections.c
    query = (
        select(table.timings)
        .where(table.id >= first_id_at(since_ms), table.id < first_id_at(until_ms))
        .order_by(table.id.desc())
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def _inferred(model_version: str, since_ms: int, until_ms: int) -> tuple[Any, ...]:
    table = inspections.c
    return (
        table.id >= first_id_at(since_ms),
        table.id < first_id_at(until_ms),
        table.model_version == model_version,
        table.score.is_not(None),
    )


def _settled_now() -> Select[Any]:
    """(inspection_id, disposition): what was settled last of each inspection."""
    newest = select(func.max(settlements.c.seq)).group_by(settlements.c.inspection_id).scalar_subquery()
    return select(settlements.c.inspection_id, settlements.c.disposition).where(settlements.c.seq.in_(newest))

"""What the pages of the station ask of many inspections at once. SQL of the record.

Every method takes an open transaction. A point that was inspected again counts with its last inspection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from waferlens.records import DecisionKind
from waferlens.storage.schema import dispositions, inspections
from waferlens.storage.stored import HOUR_MS, first_id_at


@dataclass(frozen=True, kw_only=True)
class ProductHour:
    """How many inspections of a product and an hour were decided so."""

    hour_ms: int
    product: str
    decision: DecisionKind
    num_inspections: int


@dataclass(frozen=True, kw_only=True)
class PointLine:
    """The last inspection of a point, as a map needs it. score: the number that decided, or None."""

    inspection_id: str
    wafer_id: str
    inspection_point: int
    product: str
    lot_id: str | None
    received_ms: int
    decision: DecisionKind
    score: float | None
    review_threshold: float
    reject_threshold: float


@dataclass(frozen=True, kw_only=True)
class LotLine:
    """A lot that was seen lately. num_wafers: of it, among those inspections."""

    lot_id: str
    num_wafers: int
    num_inspections: int
    received_ms: int


def counts_by_product(connection: Connection, *, since_ms: int, until_ms: int) -> list[ProductHour]:
    """Inspections a product, decision and hour, oldest hour first."""
    table = inspections.c
    hour = (table.received_ms // HOUR_MS).label("hour")
    query = (
        select(hour, table.product, table.decision, func.count().label("num"))
        .where(table.received_ms >= since_ms, table.received_ms < until_ms)
        .group_by(hour, table.product, table.decision)
        .order_by(hour, table.product, table.decision)
    )
    return [
        ProductHour(
            hour_ms=int(row.hour) * HOUR_MS,
            product=row.product,
            decision=DecisionKind(row.decision),
            num_inspections=row.num,
        )
        for row in connection.execute(query)
    ]


def latest_timings(connection: Connection, *, limit: int) -> list[dict[str, float]]:
    """Milliseconds a stage of the last so many inspections that were inferred."""
    table = inspections.c
    query = select(table.timings).where(table.score.is_not(None)).order_by(table.id.desc()).limit(limit)
    return [json.loads(told) for told in connection.execute(query).scalars()]


def failures_since(connection: Connection, since_ms: int) -> list[tuple[str, int, str]]:
    """(failure, inspections, id of the newest) of what went wrong since then, the most frequent first."""
    table = inspections.c
    num = func.count()
    query = (
        select(table.failure, num, func.max(table.id))
        .where(table.failure.is_not(None), table.id >= first_id_at(since_ms))
        .group_by(table.failure)
        .order_by(num.desc(), table.failure)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def points_of_wafers(connection: Connection, wafer_ids: Sequence[str]) -> dict[str, list[PointLine]]:
    """The last inspection of every point of some wafers, by point."""
    return _by_wafer(connection, inspections.c.wafer_id.in_(wafer_ids))


def points_of_lot(connection: Connection, lot_id: str) -> dict[str, list[PointLine]]:
    """The same of every wafer of a lot."""
    return _by_wafer(connection, inspections.c.lot_id == lot_id)


def recent_lots(connection: Connection, *, num_inspections: int) -> list[LotLine]:
    """The lots among the last so many inspections, the newest first."""
    table = inspections.c
    last = (
        select(table.lot_id, table.wafer_id, table.received_ms)
        .order_by(table.id.desc())
        .limit(num_inspections)
        .subquery()
    )
    newest = func.max(last.c.received_ms)
    query = (
        select(last.c.lot_id, func.count(last.c.wafer_id.distinct()), func.count(), newest)
        .where(last.c.lot_id.is_not(None))
        .group_by(last.c.lot_id)
        .order_by(newest.desc())
    )
    return [
        LotLine(lot_id=row[0], num_wafers=row[1], num_inspections=row[2], received_ms=row[3])
        for row in connection.execute(query)
    ]


def newest_dispositions(connection: Connection, wafer_ids: Sequence[str]) -> dict[str, DecisionKind]:
    """What was settled last about some wafers; those that nobody settled are missing."""
    newest = (
        select(func.max(dispositions.c.seq))
        .where(dispositions.c.wafer_id.in_(wafer_ids))
        .group_by(dispositions.c.wafer_id)
        .scalar_subquery()
    )
    query = select(dispositions.c.wafer_id, dispositions.c.disposition).where(dispositions.c.seq.in_(newest))
    return {row.wafer_id: DecisionKind(row.disposition) for row in connection.execute(query)}


def earlier_at_point(connection: Connection, wafer_id: str, point: int) -> list[tuple[str, int, DecisionKind]]:
    """(id, arrival in ms, decision) of every inspection of one point of a wafer, the newest first."""
    table = inspections.c
    query = (
        select(table.id, table.received_ms, table.decision)
        .where(table.wafer_id == wafer_id, table.inspection_point == point)
        .order_by(table.id.desc())
    )
    return [(row.id, row.received_ms, DecisionKind(row.decision)) for row in connection.execute(query)]


def _by_wafer(connection: Connection, which: Any) -> dict[str, list[PointLine]]:
    table = inspections.c
    newest = (
        select(func.max(table.id)).where(which).group_by(table.wafer_id, table.inspection_point).scalar_subquery()
    )
    query = (
        select(
            table.id,
            table.wafer_id,
            table.inspection_point,
            table.product,
            table.lot_id,
            table.received_ms,
            table.decision,
            table.score,
            table.reconstruction_error,
            table.score_name,
            table.review_threshold,
            table.reject_threshold,
        )
        .where(table.id.in_(newest))
        .order_by(table.wafer_id, table.inspection_point)
    )
    found: dict[str, list[PointLine]] = {}
    for line in _lines(connection.execute(query)):
        found.setdefault(line.wafer_id, []).append(line)
    return found


def _lines(rows: Iterable[Any]) -> Iterable[PointLine]:
    for row in rows:
        yield PointLine(
            inspection_id=row.id,
            wafer_id=row.wafer_id,
            inspection_point=row.inspection_point,
            product=row.product,
            lot_id=row.lot_id,
            received_ms=row.received_ms,
            decision=DecisionKind(row.decision),
            score=row.score if row.score_name == "score" else row.reconstruction_error,
            review_threshold=row.review_threshold,
            reject_threshold=row.reject_threshold,
        )

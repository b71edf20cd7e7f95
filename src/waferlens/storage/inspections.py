"""The questions that are asked of the inspections, each a method. SQL of the record lives here.

Every method takes an open transaction, so that several answers may come from one state.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, ScalarSelect, Select, and_, func, insert, select

from waferlens.records import DecisionKind
from waferlens.storage.schema import idempotency_keys, inspections, renderings
from waferlens.storage.stored import HOUR_MS, Rendering, StoredInspection, first_id_at

_KEYED = ("idempotency_key", "request_hash")


@dataclass(frozen=True, kw_only=True)
class InspectionFilter:
    """Which inspections; what is None does not matter. since_ms is included, until_ms is not."""

    decision: DecisionKind | None = None
    wafer_id: str | None = None
    product: str | None = None
    failed: bool | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class HourlyCount:
    """How many inspections of one hour were decided so."""

    hour_ms: int
    decision: DecisionKind
    num_inspections: int


def insert_inspection(connection: Connection, inspection: StoredInspection) -> None:
    """Write one inspection and its idempotency key. Raises IntegrityError when either is there."""
    connection.execute(insert(inspections), _row_of(inspection))
    if inspection.idempotency_key is not None:
        connection.execute(
            insert(idempotency_keys),
            {
                "station": inspection.station,
                "key": inspection.idempotency_key,
                "request_hash": inspection.request_hash,
                "inspection_id": inspection.id,
                "created_ms": inspection.received_ms,
            },
        )


def insert_rendering(connection: Connection, rendering: Rendering) -> None:
    """Write which pictures belong to an inspection; the first ones stay."""
    if find_rendering(connection, rendering.inspection_id) is None:
        connection.execute(
            insert(renderings),
            {
                "inspection_id": rendering.inspection_id,
                "heatmap": rendering.heatmap,
                "reconstruction": rendering.reconstruction,
            },
        )


def find_inspection(connection: Connection, inspection_id: str) -> StoredInspection | None:
    """The inspection of this id."""
    return _one(connection, select(inspections).where(inspections.c.id == inspection_id))


def find_rendering(connection: Connection, inspection_id: str) -> Rendering | None:
    """The pictures of an inspection, once they were drawn."""
    row = (
        connection.execute(select(renderings).where(renderings.c.inspection_id == inspection_id))
        .mappings()
        .first()
    )
    return None if row is None else Rendering(**row)


def find_by_key(connection: Connection, station: str, key: str) -> tuple[str, StoredInspection] | None:
    """The request hash and the inspection that this station's idempotency key stands for."""
    keys = idempotency_keys
    row = connection.execute(
        select(keys.c.request_hash, keys.c.inspection_id).where(keys.c.station == station, keys.c.key == key)
    ).first()
    if row is None:
        return None
    found = find_inspection(connection, row.inspection_id)
    return None if found is None else (row.request_hash, found)


def newest_at_point(connection: Connection, wafer_id: str, point: int) -> StoredInspection | None:
    """The last inspection of one point of a wafer."""
    table = inspections.c
    return _one(
        connection,
        select(inspections)
        .where(table.wafer_id == wafer_id, table.inspection_point == point)
        .order_by(table.id.desc())
        .limit(1),
    )


def page_of_inspections(
    connection: Connection, which: InspectionFilter, *, limit: int, before_id: str | None = None
) -> list[StoredInspection]:
    """The newest ``limit`` inspections of a filter, older than ``before_id``."""
    table, conditions = inspections.c, list(_conditions(which))
    if before_id is not None:
        conditions.append(table.id < before_id)
    query = select(inspections).where(and_(True, *conditions)).order_by(table.id.desc()).limit(limit)
    return [_inspection_of(row) for row in connection.execute(query).mappings()]


def points_of_wafer(connection: Connection, wafer_id: str) -> list[StoredInspection]:
    """The last inspection of every point of a wafer, by point."""
    table = inspections.c
    query = select(inspections).where(table.id.in_(newest_of_points(wafer_id))).order_by(table.inspection_point)
    return [_inspection_of(row) for row in connection.execute(query).mappings()]


def newest_of_points(wafer_id: str) -> ScalarSelect[Any]:
    """The ids of the last inspection of every point of a wafer, as a part of a query."""
    table = inspections.c
    newest = select(func.max(table.id)).where(table.wafer_id == wafer_id).group_by(table.inspection_point)
    return newest.scalar_subquery()


def recent_wafers(connection: Connection, *, num_inspections: int) -> list[tuple[str, int, int]]:
    """(wafer, newest arrival in ms, inspections) among the last ``num_inspections``; the newest wafer first."""
    table = inspections.c
    last = select(table.wafer_id, table.received_ms).order_by(table.id.desc()).limit(num_inspections).subquery()
    newest = func.max(last.c.received_ms)
    query = select(last.c.wafer_id, newest, func.count()).group_by(last.c.wafer_id).order_by(newest.desc())
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def hourly_counts(connection: Connection, *, since_ms: int, until_ms: int) -> list[HourlyCount]:
    """Inspections a decision and hour, oldest hour first."""
    table = inspections.c
    hour = (table.received_ms // HOUR_MS).label("hour")
    query = (
        select(hour, table.decision, func.count().label("num"))
        .where(table.received_ms >= since_ms, table.received_ms < until_ms)
        .group_by(hour, table.decision)
        .order_by(hour, table.decision)
    )
    return [
        HourlyCount(hour_ms=int(row.hour) * HOUR_MS, decision=DecisionKind(row.decision), num_inspections=row.num)
        for row in connection.execute(query)
    ]


def not_yet_rendered(
    connection: Connection, *, since_ms: int, until_ms: int, limit: int
) -> list[StoredInspection]:
    """Inspections of a period that have a score and no pictures yet, oldest first."""
    table = inspections.c
    drawn = select(renderings.c.inspection_id).where(renderings.c.inspection_id == table.id)
    query = (
        select(inspections)
        .where(
            table.id >= first_id_at(since_ms),
            table.id < first_id_at(until_ms),
            table.score.is_not(None),
            ~drawn.exists(),
        )
        .order_by(table.id)
        .limit(limit)
    )
    return [_inspection_of(row) for row in connection.execute(query).mappings()]


def ids_present(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of some ids that are in the record."""
    return set(connection.execute(select(inspections.c.id).where(inspections.c.id.in_(ids))).scalars())


def _conditions(which: InspectionFilter) -> Iterable[Any]:
    table = inspections.c
    if which.decision is not None:
        yield table.decision == str(which.decision)
    if which.wafer_id is not None:
        yield table.wafer_id == which.wafer_id
    if which.product is not None:
        yield table.product == which.product
    if which.failed is not None:
        yield table.failure.is_not(None) if which.failed else table.failure.is_(None)
    if which.since_ms is not None:
        yield table.id >= first_id_at(which.since_ms)
    if which.until_ms is not None:
        yield table.id < first_id_at(which.until_ms)


def _one(connection: Connection, query: Select[Any]) -> StoredInspection | None:
    row = connection.execute(query).mappings().first()
    return None if row is None else _inspection_of(row)


def _row_of(inspection: StoredInspection) -> dict[str, Any]:
    row = {name: value for name, value in vars(inspection).items() if name not in _KEYED}
    return row | {"decision": str(inspection.decision), "timings": json.dumps(inspection.timings)}


def _inspection_of(row: Mapping[str, Any] | Any) -> StoredInspection:
    told: dict[str, Any] = dict(row)
    return StoredInspection(
        **told | {"decision": DecisionKind(told["decision"]), "timings": json.loads(told["timings"])}
    )

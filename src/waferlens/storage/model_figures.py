"""What models decided, wafer by wafer, for those who compare them. SQL only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, case, func, select

from waferlens.records import DecisionKind
from waferlens.storage.schema import inspections
from waferlens.storage.stored import first_id_at


@dataclass(frozen=True, kw_only=True)
class WaferFigures:
    """One wafer as one model decided on it. first_ms: when its first image came. Counts of inspections.

    num_failed: REVIEW because something went wrong. num_slow: inference took longer than asked.
    """

    model_version: str
    wafer_id: str
    first_ms: int
    num_inspections: int
    num_reject: int
    num_review: int
    num_failed: int
    num_slow: int


def wafer_figures(
    connection: Connection, versions: Sequence[str], *, since_ms: int, until_ms: int, slow_ms: float
) -> list[WaferFigures]:
    """The wafers of some models in a period, oldest first. since_ms is included, until_ms is not."""
    table = inspections.c
    query = (
        select(
            table.model_version,
            table.wafer_id,
            func.min(table.received_ms).label("first_ms"),
            func.count().label("num_inspections"),
            _num(table.decision == str(DecisionKind.REJECT)).label("num_reject"),
            _num(table.decision == str(DecisionKind.REVIEW)).label("num_review"),
            _num(table.failure.is_not(None)).label("num_failed"),
            _num(table.inference_ms > slow_ms).label("num_slow"),
        )
        .where(
            table.id >= first_id_at(since_ms),
            table.id < first_id_at(until_ms),
            table.model_version.in_(versions),
        )
        .group_by(table.model_version, table.wafer_id)
        .order_by(func.min(table.received_ms))
    )
    return [WaferFigures(**row) for row in connection.execute(query).mappings()]


def _num(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))

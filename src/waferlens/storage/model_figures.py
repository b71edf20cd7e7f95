"""What models decided, wafer by wafer, and what people settled of it, for those who compare models. SQL only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, case, func, select

from waferlens.records import DecisionKind
from waferlens.storage.review_stored import Purpose
from waferlens.storage.review_tables import review_items, settlements
from waferlens.storage.schema import inspections
from waferlens.storage.stored import first_id_at

_PASS, _REVIEW, _REJECT = map(str, (DecisionKind.PASS, DecisionKind.REVIEW, DecisionKind.REJECT))


@dataclass(frozen=True, kw_only=True)
class WaferFigures:
    """One wafer as one model decided on it. first_ms: when its first image came. Counts of inspections.

    num_failed: REVIEW because something went wrong. num_slow: inference took longer than asked. num_settled:
    REJECTs that people settled; num_overridden: of these, as PASS.
    """

    model_version: str
    wafer_id: str
    first_ms: int
    num_inspections: int
    num_reject: int
    num_review: int
    num_failed: int
    num_slow: int
    num_settled: int
    num_overridden: int


@dataclass(frozen=True, kw_only=True)
class SettledFigures:
    """What people settled of one model's inspections.

    num_pass: passed, with a score. num_audited: of these, settled by a blind audit; num_escaped: of these, as
    REJECT. num_found: inspections that did not pass and were settled as REJECT.
    """

    num_pass: int
    num_audited: int
    num_escaped: int
    num_found: int


def wafer_figures(
    connection: Connection, versions: Sequence[str], *, since_ms: int, until_ms: int, slow_ms: float
) -> list[WaferFigures]:
    """The wafers of some models in a period, oldest first. since_ms is included, until_ms is not."""
    table = inspections.c
    # Only what was rejected is looked up among the settlements: SQL evaluates a CASE from left to right.
    settled = case((table.decision == _REJECT, _settled_as()), else_=None)
    query = (
        select(
            table.model_version,
            table.wafer_id,
            func.min(table.received_ms).label("first_ms"),
            func.count().label("num_inspections"),
            _num(table.decision == _REJECT).label("num_reject"),
            _num(table.decision == _REVIEW).label("num_review"),
            _num(table.failure.is_not(None)).label("num_failed"),
            _num(table.inference_ms > slow_ms).label("num_slow"),
            _num(settled.in_((_PASS, _REJECT))).label("num_settled"),
            _num(settled == _PASS).label("num_overridden"),
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


def settled_figures(connection: Connection, version: str, *, since_ms: int, until_ms: int) -> SettledFigures:
    """What people settled of a model's inspections of a period. since_ms is included, until_ms is not."""
    table, items = inspections.c, review_items.c
    settled = _settled_as()
    audited = select(items.id).where(
        items.inspection_id == table.id, items.purpose == str(Purpose.AUDIT), items.closed_ms.is_not(None)
    )
    passed = and_(table.decision == _PASS, table.score.is_not(None))
    judged = case((and_(passed, audited.exists()), settled), else_=None)
    query = select(
        _num(passed).label("num_pass"),
        _num(judged.in_((_PASS, _REJECT))).label("num_audited"),
        _num(judged == _REJECT).label("num_escaped"),
        _num(case((table.decision != _PASS, settled), else_=None) == _REJECT).label("num_found"),
    ).where(table.id >= first_id_at(since_ms), table.id < first_id_at(until_ms), table.model_version == version)
    row = connection.execute(query).mappings().one()
    return SettledFigures(**{name: int(value or 0) for name, value in row.items()})


def _settled_as() -> ScalarSelect[str]:
    """What holds for an inspection since people settled it; NULL where only the model has decided."""
    return (
        select(settlements.c.disposition)
        .where(settlements.c.inspection_id == inspections.c.id)
        .order_by(settlements.c.seq.desc())
        .limit(1)
        .correlate(inspections)
        .scalar_subquery()
    )


def _num(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))

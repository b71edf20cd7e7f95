"""What the figures of the review are counted from. Every function takes an open transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from waferlens.records import DecisionKind, Label
from waferlens.storage.review_stored import Choice, Purpose
from waferlens.storage.review_tables import known_answers, review_items, settlements, verdicts
from waferlens.storage.schema import inspections
from waferlens.storage.stored import first_id_at


@dataclass(frozen=True, kw_only=True)
class Said:
    """One verdict with what it was about. machine: what the model decided. truth: where the answer is known."""

    id: str
    item_id: str
    inspection_id: str
    person: str
    choice: Choice
    defect_class: str | None
    saw_score: bool
    given_ms: int
    looked_ms: int | None
    supersedes: str | None
    purpose: Purpose
    seat: int
    blind: bool
    machine: DecisionKind
    truth: Label | None
    true_class: str | None


@dataclass(frozen=True, kw_only=True)
class SettledCount:
    """How many inspections that the model decided so were settled so. audited: drawn from what passed."""

    machine: DecisionKind
    audited: bool
    disposition: DecisionKind
    num_inspections: int


def said_between(connection: Connection, since_ms: int, until_ms: int, person: str | None = None) -> list[Said]:
    """Verdicts of a period, of one person or of all, in their order."""
    v, i, n, k = verdicts.c, review_items.c, inspections.c, known_answers.c
    query = (
        select(
            *(v.id, v.item_id, v.inspection_id, v.person, v.choice, v.defect_class, v.saw_score, v.given_ms),
            *(v.looked_ms, v.supersedes, i.purpose, i.seat, i.blind, n.decision.label("machine"), k.truth),
            k.defect_class.label("true_class"),
        )
        .join(review_items, i.id == v.item_id)
        .join(inspections, n.id == v.inspection_id)
        .outerjoin(known_answers, k.inspection_id == v.inspection_id)
        .where(v.id >= first_id_at(since_ms), v.id < first_id_at(until_ms))
        .order_by(v.id)
    )
    if person is not None:
        query = query.where(v.person == person)
    return [_said_of(row) for row in connection.execute(query).mappings()]


def settled_between(connection: Connection, since_ms: int, until_ms: int) -> list[SettledCount]:
    """Inspections that were settled in a period, with what holds for them now."""
    newest = (
        select(func.max(settlements.c.seq))
        .where(settlements.c.settled_ms >= since_ms, settlements.c.settled_ms < until_ms)
        .group_by(settlements.c.inspection_id)
        .scalar_subquery()
    )
    audited = (
        select(review_items.c.id)
        .where(
            review_items.c.inspection_id == settlements.c.inspection_id,
            review_items.c.purpose == str(Purpose.AUDIT),
        )
        .exists()
        .label("audited")
    )
    query = (
        select(inspections.c.decision, audited, settlements.c.disposition, func.count())
        .join(inspections, inspections.c.id == settlements.c.inspection_id)
        .where(settlements.c.seq.in_(newest))
        .group_by(inspections.c.decision, audited, settlements.c.disposition)
        .order_by(inspections.c.decision, audited, settlements.c.disposition)
    )
    return [
        SettledCount(
            machine=DecisionKind(row[0]),
            audited=bool(row[1]),
            disposition=DecisionKind(row[2]),
            num_inspections=row[3],
        )
        for row in connection.execute(query)
    ]


def people_between(connection: Connection, since_ms: int, until_ms: int) -> list[str]:
    """Who gave verdicts in a period, by name."""
    table = verdicts.c
    query = (
        select(table.person)
        .where(table.id >= first_id_at(since_ms), table.id < first_id_at(until_ms))
        .distinct()
        .order_by(table.person)
    )
    return list(connection.execute(query).scalars())


def _said_of(row: Mapping[str, Any] | Any) -> Said:
    told = dict(row)
    return Said(
        **told
        | {
            "choice": Choice(told["choice"]),
            "purpose": Purpose(told["purpose"]),
            "machine": DecisionKind(told["machine"]),
            "truth": None if told["truth"] is None else Label(told["truth"]),
        }
    )

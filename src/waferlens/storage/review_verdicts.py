"""What people said and what follows from it: rows that are added and never changed.

Every function takes an open transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from waferlens.records import DecisionKind
from waferlens.storage.accounts import Role
from waferlens.storage.inspections import newest_of_points
from waferlens.storage.review_stored import Choice, Settlement, StoredVerdict
from waferlens.storage.review_tables import settlements, verdicts
from waferlens.storage.schema import dispositions, inspections

_AT_ONCE = 500


def add_verdict(connection: Connection, verdict: StoredVerdict) -> None:
    """Write a verdict. Raises IntegrityError when its key is used, or another one supersedes the same."""
    connection.execute(
        insert(verdicts), vars(verdict) | {"role": str(verdict.role), "choice": str(verdict.choice)}
    )


def verdicts_of_key(connection: Connection, person: str, key: str) -> list[StoredVerdict]:
    """What this person said under a key, by item."""
    table = verdicts.c
    query = select(verdicts).where(table.person == person, table.key == key).order_by(table.item_id)
    return [_verdict_of(row) for row in connection.execute(query).mappings()]


def verdicts_of_inspection(connection: Connection, inspection_id: str) -> list[StoredVerdict]:
    """Everything that was ever said of an inspection, in its order."""
    query = select(verdicts).where(verdicts.c.inspection_id == inspection_id).order_by(verdicts.c.id)
    return [_verdict_of(row) for row in connection.execute(query).mappings()]


def last_act_of(connection: Connection, person: str) -> list[StoredVerdict]:
    """The standing verdicts that this person gave last: one, or all of one act."""
    table, later = verdicts.c, verdicts.alias("later")
    superseded = select(later.c.id).where(later.c.supersedes == table.id).exists()
    query = (
        select(verdicts)
        .where(table.person == person, table.choice != str(Choice.WITHDRAWN), ~superseded)
        .order_by(table.id.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return []
    same = select(verdicts).where(table.person == person, table.key == row["key"], ~superseded).order_by(table.id)
    return [_verdict_of(each) for each in connection.execute(same).mappings()]


def add_settlement(connection: Connection, settlement: Settlement) -> int:
    """What holds for an inspection from now on; the number of its row."""
    row = vars(settlement) | {"disposition": str(settlement.disposition)}
    return int(connection.execute(insert(settlements).returning(settlements.c.seq), row).scalar_one())


def note_wafer(connection: Connection, seq: int, wafer_seq: int) -> None:
    """Which disposition of the wafer came with a settlement."""
    connection.execute(update(settlements).where(settlements.c.seq == seq).values(wafer_seq=wafer_seq))


def newest_settlement(connection: Connection, inspection_id: str) -> Settlement | None:
    """What holds for an inspection; None where only the model has decided."""
    return newest_settlements(connection, [inspection_id]).get(inspection_id)


def newest_settlements(connection: Connection, inspection_ids: Collection[str]) -> dict[str, Settlement]:
    """What holds for some inspections, of those that people have looked at."""
    found, ids = dict[str, Settlement](), list(inspection_ids)
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        last = (
            select(func.max(settlements.c.seq))
            .where(settlements.c.inspection_id.in_(some))
            .group_by(settlements.c.inspection_id)
            .scalar_subquery()
        )
        query = select(settlements).where(settlements.c.seq.in_(last))
        for row in connection.execute(query).mappings():
            found[row["inspection_id"]] = _settlement_of(row)
    return found


def settlements_of(connection: Connection, inspection_id: str) -> list[Settlement]:
    """Everything that held for an inspection, in its order."""
    query = select(settlements).where(settlements.c.inspection_id == inspection_id).order_by(settlements.c.seq)
    return [_settlement_of(row) for row in connection.execute(query).mappings()]


def held_decisions(connection: Connection, wafer_id: str) -> dict[int, DecisionKind]:
    """By inspection point of a wafer: what people settled about its last inspection, else the model."""
    newest = newest_of_points(wafer_id)
    query = select(inspections.c.inspection_point, inspections.c.id, inspections.c.decision).where(
        inspections.c.id.in_(newest)
    )
    rows = connection.execute(query).all()
    settled = newest_settlements(connection, [row.id for row in rows])
    return {
        row.inspection_point: settled[row.id].disposition if row.id in settled else DecisionKind(row.decision)
        for row in rows
    }


def disposition_made_by_review(connection: Connection, wafer_id: str) -> tuple[DecisionKind | None, bool]:
    """What was settled last about a wafer, and whether it followed from verdicts (else a person said so)."""
    table = dispositions.c
    query = (
        select(table.seq, table.disposition).where(table.wafer_id == wafer_id).order_by(table.seq.desc()).limit(1)
    )
    row = connection.execute(query).first()
    if row is None:
        return None, False
    followed = select(settlements.c.seq).where(settlements.c.wafer_seq == row.seq).limit(1)
    return DecisionKind(row.disposition), connection.execute(followed).first() is not None


def _verdict_of(row: Mapping[str, Any] | Any) -> StoredVerdict:
    told = dict(row)
    return StoredVerdict(**told | {"role": Role(told["role"]), "choice": Choice(told["choice"])})


def _settlement_of(row: Mapping[str, Any] | Any) -> Settlement:
    told = {name: value for name, value in row.items() if name != "seq"}
    return Settlement(**told | {"disposition": DecisionKind(told["disposition"])})

"""What waits for a person and who has it: the questions of the queue, each a function.

Every function takes an open transaction. Two people never get the same item: SQLite lets one transaction write at
a time, PostgreSQL skips the rows that another one has locked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Table, and_, func, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from waferlens.storage.review_stored import Order, Purpose, ReviewItem
from waferlens.storage.review_tables import review_items, review_secrets
from waferlens.storage.stored import received_ms_of

_FIRST_SECRET = 1
_PERSONS_LOCK = 0x72657669


def begin_act(connection: Connection, person: str) -> None:
    """From now on until the transaction ends, this person's other acts wait: a retry meets what was kept."""
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(person.encode()).digest()[:4], "big", signed=True)
        lock = text("SELECT pg_advisory_xact_lock(:kind, :person)")
        connection.execute(lock, {"kind": _PERSONS_LOCK, "person": number})


def add_items(connection: Connection, items: Iterable[ReviewItem]) -> None:
    """Write items; one that is there already stays as it is."""
    for item in items:
        connection.execute(
            insert_unless_there(connection, review_items), vars(item) | {"purpose": str(item.purpose)}
        )


def find_item(connection: Connection, item_id: str) -> ReviewItem | None:
    """The item of this id."""
    row = connection.execute(select(review_items).where(review_items.c.id == item_id)).mappings().first()
    return None if row is None else _item_of(row)


def lock_items_of(connection: Connection, inspection_id: str) -> list[ReviewItem]:
    """Every item of an inspection, by id, held until the transaction ends: what follows from them is one act."""
    query = (
        select(review_items)
        .where(review_items.c.inspection_id == inspection_id)
        .order_by(review_items.c.id)
        .with_for_update()
    )
    return [_item_of(row) for row in connection.execute(query).mappings()]


def held_items(connection: Connection, person: str) -> list[ReviewItem]:
    """The open items that this person claimed last, lapsed or not, the longest held first."""
    table = review_items.c
    query = (
        select(review_items)
        .where(table.claimed_by == person, table.closed_ms.is_(None))
        .order_by(table.claimed_ms, table.id)
    )
    return [_item_of(row) for row in connection.execute(query).mappings()]


def first_waiting(
    connection: Connection,
    person: str,
    addressee: str,
    order: Order,
    now_ms: int,
    *,
    but: Collection[str] = (),
) -> ReviewItem | None:
    """The first item that waits for this addressee and that this person may have; locked until the end.

    but: items that they put off.

    Nobody gets two looks at one inspection: what they have judged, or hold, under another item is passed over.
    """
    item = review_items.alias("item")
    ranked = (item.c.slack, item.c.id) if order is Order.RISKIEST else (item.c.id,)
    query = (
        select(item)
        .where(_waits(item.c, person, addressee, now_ms), _num_looks_of(item.c, person, now_ms) == 0)
        .where(item.c.id.not_in(but))
        .order_by(*ranked)
        .limit(1)
        .with_for_update(of=item, skip_locked=True)
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else _item_of(row)


def claim_item(connection: Connection, item_id: str, person: str, now_ms: int, until_ms: int) -> None:
    """From now on this person has the item."""
    _set(connection, item_id, claimed_by=person, claimed_ms=now_ms, claimed_until_ms=until_ms)


def extend_claim(connection: Connection, item_id: str, person: str, until_ms: int) -> bool:
    """A longer claim; False when somebody else has it by now, or it is closed."""
    table = review_items.c
    mine = and_(table.id == item_id, table.claimed_by == person, table.closed_ms.is_(None))
    return connection.execute(update(review_items).where(mine).values(claimed_until_ms=until_ms)).rowcount == 1


def release_item(connection: Connection, item_id: str, person: str) -> bool:
    """The item waits again; False when this person did not have it."""
    table = review_items.c
    mine = and_(table.id == item_id, table.claimed_by == person, table.closed_ms.is_(None))
    freed = update(review_items).where(mine).values(claimed_by=None, claimed_ms=None, claimed_until_ms=0)
    return connection.execute(freed).rowcount == 1


def close_item(connection: Connection, item_id: str, person: str | None, now_ms: int, *, reveal: bool) -> None:
    """Nothing more is asked here. person: who judged it; None: it is not needed any more.

    reveal: score and heatmap may be shown from now on. The other seat is not for the same person.
    """
    values: dict[str, Any] = {"closed_ms": now_ms, "claimed_by": person}
    if reveal:
        values["revealed_ms"] = now_ms
    _set(connection, item_id, **values)
    if person is not None:
        _keep_from(connection, item_id, "", person)


def reopen_item(connection: Connection, item_id: str, person: str, now_ms: int, until_ms: int) -> None:
    """Ask again, the same person first."""
    _set(connection, item_id, closed_ms=None, claimed_by=person, claimed_ms=now_ms, claimed_until_ms=until_ms)
    _keep_from(connection, item_id, person, "")


def queue_figures(connection: Connection, now_ms: int) -> list[tuple[str, int, int, int]]:
    """(addressee, waiting, of these held, oldest arrival in ms) of what is open."""
    table = review_items.c
    held = func.count().filter(table.claimed_until_ms >= now_ms)
    query = (
        select(table.addressee, func.count(), held, func.min(table.id))
        .where(table.closed_ms.is_(None))
        .group_by(table.addressee)
        .order_by(table.addressee)
    )
    return [(row[0], row[1], row[2], received_ms_of(row[3])) for row in connection.execute(query)]


def waiting_page(connection: Connection, addressee: str, *, limit: int) -> list[ReviewItem]:
    """The oldest open items for an addressee, whoever has them."""
    table = review_items.c
    query = (
        select(review_items)
        .where(table.closed_ms.is_(None), table.addressee == addressee)
        .order_by(table.id)
        .limit(limit)
    )
    return [_item_of(row) for row in connection.execute(query).mappings()]


def items_of_inspections(connection: Connection, inspection_ids: Collection[str]) -> dict[str, list[ReviewItem]]:
    """The items of some inspections, locked until the transaction ends, by inspection."""
    query = (
        select(review_items)
        .where(review_items.c.inspection_id.in_(inspection_ids))
        .order_by(review_items.c.id)
        .with_for_update()
    )
    found: dict[str, list[ReviewItem]] = {inspection: [] for inspection in inspection_ids}
    for row in connection.execute(query).mappings():
        found[row["inspection_id"]].append(_item_of(row))
    return found


def review_secret(connection: Connection, fresh: bytes) -> bytes:
    """The secret of this record, which every draw is made with; ``fresh`` becomes it where there is none yet."""
    connection.execute(insert_unless_there(connection, review_secrets), {"id": _FIRST_SECRET, "secret": fresh})
    kept = select(review_secrets.c.secret).where(review_secrets.c.id == _FIRST_SECRET)
    return bytes(connection.execute(kept).scalar_one())


def insert_unless_there(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that leaves a row with the same primary key alone."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def _waits(item: Any, person: str, addressee: str, now_ms: int) -> ColumnElement[bool]:
    return and_(
        item.closed_ms.is_(None),
        item.addressee == addressee,
        item.claimed_until_ms < now_ms,
        item.not_for != person,
    )


def _num_looks_of(item: Any, person: str, now_ms: int) -> ScalarSelect[int]:
    """How often this person has judged, or holds, the inspection under another item.

    Counted and not asked with EXISTS: PostgreSQL would join that, and read everything that the person ever judged
    before the first candidate. Counted, it is one probe of an index for the one row that is left.
    """
    other = review_items.alias("other")
    query = select(func.count()).where(
        other.c.inspection_id == item.inspection_id,
        other.c.id != item.id,
        other.c.claimed_by == person,
        or_(other.c.closed_ms.is_not(None), other.c.claimed_until_ms >= now_ms),
    )
    return query.scalar_subquery()


def _keep_from(connection: Connection, item_id: str, was: str, person: str) -> None:
    """The open items beside this one are not for that person; was: what stood there."""
    table = review_items.c
    inspection = select(table.inspection_id).where(table.id == item_id).scalar_subquery()
    beside = and_(
        table.inspection_id == inspection, table.id != item_id, table.closed_ms.is_(None), table.not_for == was
    )
    connection.execute(update(review_items).where(beside).values(not_for=person))


def _set(connection: Connection, item_id: str, **values: Any) -> None:
    connection.execute(update(review_items).where(review_items.c.id == item_id).values(**values))


def _item_of(row: Mapping[str, Any] | Any) -> ReviewItem:
    told = dict(row)
    return ReviewItem(**told | {"purpose": Purpose(told["purpose"])})

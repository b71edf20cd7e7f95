"""What the review knows beforehand: the names that defects may be given, and the images whose answer is known.

Nothing is deleted: a class or a known answer that is retired stays, so that old verdicts go on meaning something.
Every function takes an open transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from waferlens.records import Label
from waferlens.storage.review_queue import insert_unless_there
from waferlens.storage.review_stored import DefectClass, KnownAnswer
from waferlens.storage.review_tables import defect_classes, known_answers, review_items


def classes(connection: Connection) -> list[DefectClass]:
    """Every class, retired ones too, by place."""
    query = select(defect_classes).order_by(defect_classes.c.place, defect_classes.c.name)
    return [DefectClass(**row) for row in connection.execute(query).mappings()]


def find_class(connection: Connection, name: str) -> DefectClass | None:
    """The class of this name."""
    row = connection.execute(select(defect_classes).where(defect_classes.c.name == name)).mappings().first()
    return None if row is None else DefectClass(**row)


def add_class(connection: Connection, new: DefectClass) -> bool:
    """A class at the end of the list; False when the name is there already."""
    last = connection.execute(select(func.max(defect_classes.c.place))).scalar_one()
    row = vars(new) | {"place": (last or 0) + 1}
    added = insert_unless_there(connection, defect_classes).returning(defect_classes.c.name)
    return connection.execute(added, row).first() is not None


def retire_class(connection: Connection, name: str, retired_ms: int | None) -> bool:
    """The class may be given no more or, with None, again; False when that is so already."""
    table = defect_classes.c
    other = table.retired_ms.is_(None) if retired_ms is not None else table.retired_ms.is_not(None)
    changed = update(defect_classes).where(table.name == name, other).values(retired_ms=retired_ms)
    return connection.execute(changed).rowcount == 1


def add_known(connection: Connection, known: KnownAnswer) -> None:
    """An image whose answer is known. Raises IntegrityError when it is there already."""
    connection.execute(insert(known_answers), vars(known) | {"truth": str(known.truth)})


def retire_known(connection: Connection, inspection_id: str, retired_ms: int) -> bool:
    """Nobody is asked about it any more; False when it is not in use."""
    table = known_answers.c
    active = (table.inspection_id == inspection_id) & table.retired_ms.is_(None)
    changed = update(known_answers).where(active).values(retired_ms=retired_ms)
    return connection.execute(changed).rowcount == 1


def known(connection: Connection) -> list[KnownAnswer]:
    """Every known answer, retired ones too, by inspection."""
    query = select(known_answers).order_by(known_answers.c.inspection_id)
    return [_known_of(row) for row in connection.execute(query).mappings()]


def known_unasked(connection: Connection, person: str) -> list[str]:
    """Inspections with a known answer in use that this person was never asked about, by id."""
    asked = select(review_items.c.id).where(
        review_items.c.inspection_id == known_answers.c.inspection_id, review_items.c.claimed_by == person
    )
    query = (
        select(known_answers.c.inspection_id)
        .where(known_answers.c.retired_ms.is_(None), ~asked.exists())
        .order_by(known_answers.c.inspection_id)
    )
    return list(connection.execute(query).scalars())


def _known_of(row: Mapping[str, Any] | Any) -> KnownAnswer:
    told = dict(row)
    return KnownAnswer(**told | {"truth": Label(told["truth"])})

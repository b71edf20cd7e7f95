"""Forgets what is older than the policy says: inspections, then the images that no inspection needs any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, select

from waferlens.records import DecisionKind
from waferlens.storage.blobs import BlobStore
from waferlens.storage.database import Database
from waferlens.storage.review_tables import known_answers, review_items
from waferlens.storage.schema import idempotency_keys, inspections, renderings
from waferlens.storage.stored import DAY_MS, clock_ms, first_id_at
from waferlens.storage.watch_tables import appearances

_AT_ONCE = 500
_KEY_DAYS = 7
_YOUNG_SECONDS = 3600.0
"""The same image may be posted again while its old inspection is being forgotten: a blob that young stays."""


@dataclass(frozen=True, kw_only=True)
class Gone:
    """Deleted inspections: how many, and the blobs that they named."""

    num_inspections: int
    originals: set[str]
    pictures: set[str]


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What a run of the policy deleted."""

    num_inspections: int
    num_images: int
    num_keys: int


def forget_old(
    database: Database, blobs: BlobStore, *, pass_days: float | None, all_days: float | None
) -> Forgotten:
    """Delete what passed before ``pass_days`` and everything before ``all_days``; None keeps for ever.

    Idempotency keys go after a week. Raises DatabaseLost, BlobStoreLost; run again, it goes on where it stopped.
    """
    now_ms = clock_ms()
    doubtful = [DecisionKind.REVIEW, DecisionKind.REJECT]
    num_inspections = num_images = 0
    for days, keep in ((pass_days, doubtful), (all_days, [])):
        if days is None:
            continue
        while True:
            with database.writing() as connection:
                gone = delete_older_than(connection, now_ms - round(days * DAY_MS), keep, _AT_ONCE)
                unused = [name for name in gone.originals if not _is_used(connection, name)]
            for name in (*unused, *gone.pictures):
                blobs.delete(name, spare_seconds=_YOUNG_SECONDS)
            num_inspections += gone.num_inspections
            num_images += len(unused)
            if gone.num_inspections < _AT_ONCE:
                break
    with database.writing() as connection:
        num_keys = forget_keys_older_than(connection, now_ms - _KEY_DAYS * DAY_MS)
    return Forgotten(num_inspections=num_inspections, num_images=num_images, num_keys=num_keys)


def delete_older_than(connection: Connection, moment_ms: int, keep: Iterable[DecisionKind], limit: int) -> Gone:
    """Delete up to ``limit`` inspections from before a moment, but of no decision in ``keep``.

    Where some are kept, so are those that people have looked at or are to: with a verdict, an image is a label.
    """
    table, kept = inspections.c, [str(kind) for kind in keep]
    query = (
        select(table.id, table.original)
        .where(table.id < first_id_at(moment_ms), table.decision.not_in(kept))
        .order_by(table.id)
        .limit(limit)
    )
    if kept:
        query = query.where(*_nobody_looks(table.id))
    rows = connection.execute(query).all()
    ids = [row.id for row in rows]
    drawn = connection.execute(select(renderings).where(renderings.c.inspection_id.in_(ids))).all()
    connection.execute(delete(renderings).where(renderings.c.inspection_id.in_(ids)))
    connection.execute(delete(appearances).where(appearances.c.inspection_id.in_(ids)))
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.inspection_id.in_(ids)))
    is_open = review_items.c.inspection_id.in_(ids) & review_items.c.closed_ms.is_(None)
    connection.execute(delete(review_items).where(is_open))
    connection.execute(delete(inspections).where(table.id.in_(ids)))
    return Gone(
        num_inspections=len(ids),
        originals={row.original for row in rows},
        pictures={name for row in drawn for name in (row.heatmap, row.reconstruction)},
    )


def forget_keys_older_than(connection: Connection, moment_ms: int) -> int:
    """Delete idempotency keys that no client will use again; how many."""
    return connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created_ms < moment_ms)).rowcount


def _is_used(connection: Connection, original: str) -> bool:
    query = select(inspections.c.id).where(inspections.c.original == original).limit(1)
    return connection.execute(query).first() is not None


def _nobody_looks(inspection_id: Any) -> list[ColumnElement[bool]]:
    items, known = review_items.c.inspection_id, known_answers.c.inspection_id
    return [
        ~select(items).where(items == inspection_id).exists(),
        ~select(known).where(known == inspection_id).exists(),
    ]

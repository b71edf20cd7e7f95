"""Images that may teach the next model what is normal: what passed in a period. SQL only."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from waferlens.records import DecisionKind
from waferlens.storage.schema import inspections
from waferlens.storage.stored import first_id_at


@dataclass(frozen=True, kw_only=True)
class PassedImage:
    """An inspection that passed, with the name of its image."""

    id: str
    original: str
    wafer_id: str
    lot_id: str | None
    inspection_point: int
    product: str
    score: float
    p_value: float | None
    model_version: str


def passed_images(connection: Connection, *, since_ms: int, until_ms: int) -> list[PassedImage]:
    """What passed in a period without a failure, oldest first; an image that was posted twice counts once."""
    table = inspections.c
    columns = [table[name] for name in PassedImage.__annotations__]
    query = (
        select(*columns)
        .where(
            table.id >= first_id_at(since_ms),
            table.id < first_id_at(until_ms),
            table.decision == str(DecisionKind.PASS),
            table.failure.is_(None),
            table.score.is_not(None),
        )
        .order_by(table.id)
    )
    found: dict[str, PassedImage] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["original"], PassedImage(**row))
    return list(found.values())

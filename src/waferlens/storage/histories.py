"""What people settled, each a row that is never changed: REVIEW bands of models, dispositions of wafers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from waferlens.records import DecisionKind
from waferlens.storage.schema import bands, dispositions


@dataclass(frozen=True, kw_only=True)
class Band:
    """Where REVIEW begins and ends for one model, as an engineer set it."""

    model_version: str
    review_threshold: float
    reject_threshold: float
    reason: str
    set_by: str
    set_ms: int


@dataclass(frozen=True, kw_only=True)
class Disposition:
    """What was settled about a wafer, by whom."""

    wafer_id: str
    settled_ms: int
    disposition: DecisionKind
    num_points: int
    reason: str
    settled_by: str


def add_band(connection: Connection, band: Band) -> None:
    """A model's new band."""
    connection.execute(insert(bands), vars(band))


def newest_band(connection: Connection, model_version: str) -> Band | None:
    """The band that holds for a model; None where its bundle's own thresholds do."""
    found = bands_of(connection, model_version, limit=1)
    return found[0] if found else None


def bands_of(connection: Connection, model_version: str, *, limit: int) -> list[Band]:
    """The bands of a model, newest first."""
    query = select(bands).where(bands.c.model_version == model_version).order_by(bands.c.seq.desc()).limit(limit)
    return [Band(**_without_seq(row)) for row in connection.execute(query).mappings()]


def add_disposition(connection: Connection, disposition: Disposition) -> int:
    """What is settled about a wafer now; the number of its row."""
    row = vars(disposition) | {"disposition": str(disposition.disposition)}
    return int(connection.execute(insert(dispositions).returning(dispositions.c.seq), row).scalar_one())


def newest_disposition(connection: Connection, wafer_id: str) -> Disposition | None:
    """What was settled last about a wafer."""
    query = (
        select(dispositions)
        .where(dispositions.c.wafer_id == wafer_id)
        .order_by(dispositions.c.seq.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    told = _without_seq(row)
    return Disposition(**told | {"disposition": DecisionKind(told["disposition"])})


def _without_seq(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "seq"}

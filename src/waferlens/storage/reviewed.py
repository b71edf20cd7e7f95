"""What was looked at, as labelled images: the questions of similarity, the atlas and the export.

Every function takes an open transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select

from waferlens.records import DecisionKind
from waferlens.storage.review_tables import known_answers, review_items, settlements
from waferlens.storage.schema import inspections
from waferlens.storage.stored import first_id_at

_PAGE = 2000


@dataclass(frozen=True, kw_only=True)
class SettledImage:
    """A settled inspection with what similarity needs. seq: of the settlement. latent: float32, little endian."""

    seq: int
    inspection_id: str
    product: str
    inspection_point: int
    model_version: str
    disposition: DecisionKind
    defect_class: str | None
    latent: bytes | None


@dataclass(frozen=True, kw_only=True)
class AtlasImage:
    """An image of the atlas. disposition: what holds now; settled: whether people said so."""

    inspection_id: str
    wafer_id: str
    lot_id: str | None
    inspection_point: int
    received_ms: int
    score: float | None
    disposition: DecisionKind
    defect_class: str | None
    settled: bool
    latent: bytes


@dataclass(frozen=True, kw_only=True)
class LabelledImage:
    """A settled inspection as a data set needs it. original: SHA-256 of the posted bytes."""

    seq: int
    inspection_id: str
    original: str
    product: str
    lot_id: str | None
    wafer_id: str
    inspection_point: int
    settled_ms: int
    disposition: DecisionKind
    defect_class: str | None


def settled_after(connection: Connection, seq: int, *, limit: int) -> list[SettledImage]:
    """Settlements after one, oldest first; an inspection may come again with what holds since."""
    s, n = settlements.c, inspections.c
    query = (
        select(
            *(s.seq, s.inspection_id, n.product, n.inspection_point, n.model_version, s.disposition),
            *(s.defect_class, n.latent),
        )
        .join(inspections, n.id == s.inspection_id)
        .where(s.seq > seq)
        .order_by(s.seq)
        .limit(limit)
    )
    return [SettledImage(**_decided(row)) for row in connection.execute(query).mappings()]


def last_settlement(connection: Connection) -> int:
    """The number of the newest settlement, 0 without any."""
    return connection.execute(select(func.max(settlements.c.seq))).scalar_one() or 0


def atlas_images(connection: Connection, model_version: str, *, since_ms: int, limit: int) -> list[AtlasImage]:
    """What a model rejected or doubted, or people rejected, newest first; without known answers."""
    n, s = inspections.c, settlements.c
    newest = _newest()
    doubtful = or_(
        n.decision.in_([str(DecisionKind.REVIEW), str(DecisionKind.REJECT)]),
        s.disposition == str(DecisionKind.REJECT),
    )
    known = select(known_answers.c.inspection_id).where(known_answers.c.inspection_id == n.id).exists()
    query = (
        select(
            *(n.id.label("inspection_id"), n.wafer_id, n.lot_id, n.inspection_point, n.received_ms, n.score),
            *(n.decision, s.disposition, s.defect_class, n.latent),
        )
        .outerjoin(newest, newest.c.inspection_id == n.id)
        .outerjoin(settlements, s.seq == newest.c.seq)
        .where(n.id >= first_id_at(since_ms), n.model_version == model_version, n.latent.is_not(None))
        .where(doubtful, ~known)
        .order_by(n.id.desc())
        .limit(limit)
    )
    found = []
    for row in connection.execute(query).mappings():
        told = dict(row)
        machine = told.pop("decision")
        settled = told["disposition"] is not None
        told["disposition"] = DecisionKind(told["disposition"] or machine)
        found.append(AtlasImage(**told, settled=settled))
    return found


def passed_latents(connection: Connection, model_version: str, *, limit: int) -> list[bytes]:
    """Latents of the newest images that a model passed: what normal looks like."""
    n = inspections.c
    query = (
        select(n.latent)
        .where(n.decision == str(DecisionKind.PASS), n.model_version == model_version, n.latent.is_not(None))
        .order_by(n.id.desc())
        .limit(limit)
    )
    return [bytes(latent) for latent in connection.execute(query).scalars()]


def newest_passed(connection: Connection, product: str, point: int, *, among: int) -> str | None:
    """The newest inspection that the model passed at a point of a product, among the last ``among``."""
    n = inspections.c
    recent = (
        select(n.id, n.inspection_point)
        .where(n.product == product, n.decision == str(DecisionKind.PASS))
        .order_by(n.id.desc())
        .limit(among)
        .subquery()
    )
    query = select(recent.c.id).where(recent.c.inspection_point == point).order_by(recent.c.id.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none()


def labelled_images(connection: Connection, *, since_ms: int, until_ms: int) -> Iterator[LabelledImage]:
    """Every inspection of a period that people settled as PASS or REJECT, by id; known answers are left out."""
    n, s, newest = inspections.c, settlements.c, _newest()
    known = select(known_answers.c.inspection_id).where(known_answers.c.inspection_id == n.id).exists()
    query = (
        select(
            *(s.seq, n.id.label("inspection_id"), n.original, n.product, n.lot_id, n.wafer_id, n.inspection_point),
            *(s.settled_ms, s.disposition, s.defect_class),
        )
        .join(newest, newest.c.inspection_id == n.id)
        .join(settlements, s.seq == newest.c.seq)
        .where(s.disposition != str(DecisionKind.REVIEW), ~known)
        .order_by(n.id)
        .limit(_PAGE)
    )
    after = ""
    lowest, highest = first_id_at(since_ms), first_id_at(until_ms)
    while True:
        page = query.where(n.id > after, n.id >= lowest, n.id < highest)
        rows = connection.execute(page).mappings().all()
        yield from (LabelledImage(**_decided(row)) for row in rows)
        if len(rows) < _PAGE:
            return
        after = rows[-1]["inspection_id"]


def not_admitted(connection: Connection, *, since_ms: int, after_id: str, limit: int) -> Sequence[tuple[str, str]]:
    """(id, decision) of inspections since a moment that have no item, by id, after one; without known answers."""
    n = inspections.c
    item = select(review_items.c.id).where(review_items.c.inspection_id == n.id).exists()
    known = select(known_answers.c.inspection_id).where(known_answers.c.inspection_id == n.id).exists()
    query = (
        select(n.id, n.decision)
        .where(n.id >= first_id_at(since_ms), n.id > after_id, ~item, ~known)
        .order_by(n.id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in connection.execute(query)]


def with_known_answer(connection: Connection, inspection_ids: Collection[str]) -> set[str]:
    """Those of some inspections whose answer is known."""
    query = select(known_answers.c.inspection_id).where(known_answers.c.inspection_id.in_(inspection_ids))
    return set(connection.execute(query).scalars())


def _newest() -> Any:
    """The newest settlement of each inspection, as a part of a query."""
    query: Select[Any] = select(settlements.c.inspection_id, func.max(settlements.c.seq).label("seq")).group_by(
        settlements.c.inspection_id
    )
    return query.subquery("newest")


def _decided(row: Any) -> dict[str, Any]:
    told = dict(row)
    return told | {"disposition": DecisionKind(told["disposition"])}

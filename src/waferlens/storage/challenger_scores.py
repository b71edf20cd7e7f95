"""What a challenger says of recorded images, beside what was decided. SQL only.

The record is the queue of whoever scores: an inspection that a challenger has no row for is still to be scored, so
nothing else has to remember how far it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, insert, select

from waferlens.storage.schema import challenger_scores, inspections
from waferlens.storage.stored import first_id_at

DROPPED = "dropped"
"""The failure of an image that was left out because the challenger was too far behind."""


@dataclass(frozen=True, kw_only=True)
class ChallengerScore:
    """A challenger's own decision on one inspection. failure: short code where it gave none."""

    model_version: str
    inspection_id: str
    scored_ms: int
    decision: str | None
    score: float | None
    inference_ms: float | None
    failure: str | None


@dataclass(frozen=True, kw_only=True)
class ToScore:
    """An inspection that is still to be scored, and the name of its image."""

    inspection_id: str
    original: str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One image as it was decided and as the challenger would have. Numbers are None where there was none."""

    inspection_id: str
    model_version: str
    decision: str
    score: float | None
    inference_ms: float | None
    challenger_decision: str | None
    challenger_score: float | None
    challenger_inference_ms: float | None
    failure: str | None


def still_to_score(
    connection: Connection, version: str, *, since_ms: int, until_ms: int, limit: int
) -> list[ToScore]:
    """Inspections of a period that the version has not scored, oldest first: those that a detector could read."""
    table = inspections.c
    query = (
        _unscored(select(table.id, table.original), version, since_ms, until_ms).order_by(table.id).limit(limit)
    )
    return [ToScore(inspection_id=row.id, original=row.original) for row in connection.execute(query)]


def num_to_score(connection: Connection, version: str, *, since_ms: int, until_ms: int) -> int:
    """How many they are."""
    query = _unscored(select(func.count()), version, since_ms, until_ms)
    return int(connection.execute(query).scalar_one())


def add_scores(connection: Connection, scores: Sequence[ChallengerScore]) -> int:
    """Keep scores; those that are there already stay as they are. How many were new."""
    new = {score.inspection_id: score for score in scores}
    for version in {score.model_version for score in scores}:
        query = select(challenger_scores.c.inspection_id).where(
            challenger_scores.c.model_version == version, challenger_scores.c.inspection_id.in_(list(new))
        )
        for known in connection.execute(query).scalars():
            new.pop(known, None)
    if new:
        connection.execute(insert(challenger_scores), [vars(score) for score in new.values()])
    return len(new)


def compared(
    connection: Connection, version: str, *, since_ms: int, until_ms: int, limit: int | None = None
) -> list[Compared]:
    """Every image that both saw, oldest first. What the version decided itself, as a canary, is left out.

    limit: of images; the newest are taken then.
    """
    theirs, ours = challenger_scores.c, inspections.c
    query = (
        select(
            ours.id.label("inspection_id"),
            ours.model_version,
            ours.decision,
            ours.score,
            ours.inference_ms,
            theirs.decision.label("challenger_decision"),
            theirs.score.label("challenger_score"),
            theirs.inference_ms.label("challenger_inference_ms"),
            theirs.failure,
        )
        .join(challenger_scores, and_(theirs.inspection_id == ours.id, theirs.model_version == version))
        .where(ours.id >= first_id_at(since_ms), ours.id < first_id_at(until_ms), ours.model_version != version)
        .order_by(ours.id.desc())
        .limit(limit)
    )
    return [Compared(**row) for row in connection.execute(query).mappings()][::-1]


def _unscored(query: Select[Any], version: str, since_ms: int, until_ms: int) -> Select[Any]:
    table, done = inspections.c, challenger_scores.c
    known = select(done.inspection_id).where(done.model_version == version, done.inspection_id == table.id)
    return query.select_from(inspections).where(
        table.id >= first_id_at(since_ms),
        table.id < first_id_at(until_ms),
        table.score.is_not(None),
        ~known.exists(),
    )

"""Scores of one model over a period, for histograms and for what another band would have done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, case, select

from waferlens.storage.schema import inspections
from waferlens.storage.stored import first_id_at

MOST = 400_000
"""A week of a line at full speed; of more, the newest are taken."""


@dataclass(frozen=True, kw_only=True)
class ScoresOfAModel:
    """values: (n,) of the number that decides, NaN where nothing was inferred; ids: (n,) of their inspections."""

    ids: list[str]
    values: npt.NDArray[np.float64]


def scores_between(connection: Connection, model_version: str, *, since_ms: int, until_ms: int) -> ScoresOfAModel:
    """The newest scores of a model in a period, newest first."""
    table = inspections.c
    decides = case((table.score_name == "score", table.score), else_=table.reconstruction_error)
    query = (
        select(table.id, decides)
        .where(
            table.id >= first_id_at(since_ms),
            table.id < first_id_at(until_ms),
            table.model_version == model_version,
        )
        .order_by(table.id.desc())
        .limit(MOST)
    )
    rows = connection.execute(query).all()
    values = np.asarray([np.nan if row[1] is None else row[1] for row in rows], dtype=np.float64)
    return ScoresOfAModel(ids=[row[0] for row in rows], values=values)

"""What people settled in the review, for those who guard, compare and retrain models."""

from __future__ import annotations

from sqlalchemy import Connection

from waferlens.lifecycle.extraction import Settled
from waferlens.lifecycle.guardrails import Escapes
from waferlens.records import DecisionKind
from waferlens.storage.database import Database
from waferlens.storage.model_figures import settled_figures
from waferlens.storage.reviewed import labelled_images
from waferlens.storage.stored import clock_ms


class SettledEscapes:
    """The escapes of a model, from blind audits and verdicts in the record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, version: str, since_ms: int) -> Escapes:
        """Of what the version decided since then. Raises DatabaseLost."""
        with self._database.reading() as connection:
            found = settled_figures(connection, version, since_ms=since_ms, until_ms=clock_ms() + 1)
        return Escapes.from_audits(
            num_pass=found.num_pass,
            num_audited=found.num_audited,
            num_escaped=found.num_escaped,
            num_found=found.num_found,
        )


def defective_between(connection: Connection, *, since_ms: int, until_ms: int) -> dict[str, bool]:
    """By inspection of a period whether people settled it as defective; known answers are left out."""
    return {
        image.inspection_id: image.disposition is DecisionKind.REJECT
        for image in labelled_images(connection, since_ms=since_ms, until_ms=until_ms)
    }


def settled_between(connection: Connection, *, since_ms: int, until_ms: int) -> Settled:
    """The same as two sets, for the extraction of a retraining."""
    found = defective_between(connection, since_ms=since_ms, until_ms=until_ms)
    return Settled(
        normal=frozenset(name for name, is_defective in found.items() if not is_defective),
        defective=frozenset(name for name, is_defective in found.items() if is_defective),
    )

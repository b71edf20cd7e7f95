"""Bring inspections into the queue: each as it is recorded, and those that another program recorded meanwhile."""

from __future__ import annotations

from sqlalchemy import Connection

from waferlens.records import DecisionKind
from waferlens.review.admission import Admission
from waferlens.storage.database import Database
from waferlens.storage.inspections import find_inspection
from waferlens.storage.review_queue import add_items
from waferlens.storage.reviewed import not_admitted
from waferlens.storage.stored import StoredInspection

_PAGE = 5_000


class Admitting:
    """Writes the items of inspections."""

    def __init__(self, database: Database, admission: Admission) -> None:
        self._database, self._admission = database, admission

    def admit(self, connection: Connection, inspection: StoredInspection) -> None:
        """In the transaction that records the inspection: nothing doubtful is recorded without its look."""
        add_items(connection, self._admission.items_of(inspection))

    def catch_up(self, since_ms: int) -> int:
        """Admit inspections of a period that have no item; how many were. Raises DatabaseLost."""
        num_admitted, after = 0, ""
        while True:
            with self._database.reading() as connection:
                page = not_admitted(connection, since_ms=since_ms, after_id=after, limit=_PAGE)
            wanted = [each for each, decision in page if self._is_wanted(each, DecisionKind(decision))]
            if wanted:
                with self._database.writing() as connection:
                    for inspection_id in wanted:
                        inspection = find_inspection(connection, inspection_id)
                        if inspection is not None:
                            self.admit(connection, inspection)
                            num_admitted += 1
            if len(page) < _PAGE:
                return num_admitted
            after = page[-1][0]

    def _is_wanted(self, inspection_id: str, decision: DecisionKind) -> bool:
        return decision is not DecisionKind.PASS or self._admission.is_audited(inspection_id, decision)

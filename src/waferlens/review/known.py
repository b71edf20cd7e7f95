"""Images whose answer is known, mixed in among the others to measure inspectors. Engineers choose them.

An image qualifies whose truth rests on more than one look: planted defects, or images that were measured
otherwise. It is an inspection like any other, so that nothing on the screen tells it apart.
"""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from waferlens.errors import Conflict, NotAllowed, NotFound, OptionsError
from waferlens.records import Label
from waferlens.review.classes import ENGINEERING
from waferlens.review.ports import Clock
from waferlens.review.saying import require_class
from waferlens.storage import review_known, review_queue
from waferlens.storage.accounts import Identity
from waferlens.storage.audit import AuditLog
from waferlens.storage.database import Database
from waferlens.storage.inspections import find_inspection
from waferlens.storage.review_stored import KnownAnswer


class KnownAnswers:
    """The answers; changes are written at once. Only engineers may see or change them."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database, self._audit, self._clock = database, audit, clock

    def all_answers(self, who: Identity) -> list[KnownAnswer]:
        """Every one, retired ones too. Raises NotAllowed."""
        _require_engineer(who)
        with self._database.reading() as connection:
            return review_known.known(connection)

    def add(
        self, who: Identity, inspection_id: str, truth: Label, *, defect_class: str | None = None, source: str
    ) -> KnownAnswer:
        """The answer of one inspection; it leaves the queue, in which its looks would be ordinary ones.

        source: how the truth is known. Raises NotAllowed, NotFound, OptionsError, Conflict when it is there
        already.
        """
        _require_engineer(who)
        if truth is Label.UNKNOWN or (defect_class is not None and truth is not Label.DEFECTIVE):
            raise OptionsError("the answer must be known", expected="normal, or defective with or without a class")
        if not source.strip():
            raise OptionsError("how the answer is known must be said", expected="such as 'planted by ann'")
        known = KnownAnswer(
            inspection_id=inspection_id,
            truth=truth,
            defect_class=defect_class,
            source=source,
            added_by=who.name,
            added_ms=self._clock.now_ms(),
        )
        try:
            with self._database.writing() as connection:
                if find_inspection(connection, inspection_id) is None:
                    raise NotFound("no such inspection", found=inspection_id)
                require_class(connection, defect_class)
                review_known.add_known(connection, known)
                for item in review_queue.lock_items_of(connection, inspection_id):
                    if item.closed_ms is None:
                        review_queue.close_item(connection, item.id, None, known.added_ms, reveal=False)
                detail = vars(known) | {"truth": str(truth)}
                entry = self._audit.append(connection, who.name, "known answer added", detail)
        except IntegrityError as error:
            raise Conflict("the answer of this inspection is there already", found=inspection_id) from error
        self._audit.note_head(entry)
        return known

    def retire(self, who: Identity, inspection_id: str) -> None:
        """Ask nobody about it any more. Raises NotAllowed, NotFound."""
        _require_engineer(who)
        with self._database.writing() as connection:
            if not review_known.retire_known(connection, inspection_id, self._clock.now_ms()):
                raise NotFound("no such known answer in use", found=inspection_id)
            detail = {"inspection": inspection_id}
            entry = self._audit.append(connection, who.name, "known answer retired", detail)
        self._audit.note_head(entry)


def _require_engineer(who: Identity) -> None:
    if who.role not in ENGINEERING:
        raise NotAllowed("this role may not see known answers", expected="engineer", found=str(who.role))

"""What a verdict brings about, in its own transaction: the inspection's disposition, an arbitration, the wafer's.

A wafer that a person has settled is never made better by verdicts on its points, only worse. Knows the tables
through ``storage`` alone; the rule itself is ``settling``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from waferlens.decision.wafer import decide_wafer
from waferlens.errors import NotFound
from waferlens.records import DecisionKind
from waferlens.review.admission import Admission
from waferlens.review.settling import Outcome, settle
from waferlens.storage import review_queue, review_verdicts
from waferlens.storage.histories import Disposition, add_disposition
from waferlens.storage.inspections import find_inspection
from waferlens.storage.review_stored import Purpose, ReviewItem, Settlement, StoredVerdict
from waferlens.storage.stored import StoredInspection

_BADNESS = {DecisionKind.PASS: 0, DecisionKind.REVIEW: 1, DecisionKind.REJECT: 2}


@dataclass(frozen=True, kw_only=True)
class Consequence:
    """What holds now. wafer: the wafer's disposition where this verdict changed it."""

    disposition: DecisionKind
    reason: str
    defect_class: str | None
    arbitration: bool
    wafer: DecisionKind | None


class Consequences:
    """Draws the consequences of what was said of an inspection. num_points: of a wafer, by product."""

    def __init__(self, admission: Admission, num_points: Mapping[str, int | None]) -> None:
        self._admission, self._num_points = admission, num_points

    def draw(self, connection: Connection, verdict: StoredVerdict) -> Consequence:
        """After ``verdict`` was written and its item closed or opened again. Raises NotFound."""
        inspection = find_inspection(connection, verdict.inspection_id)
        if inspection is None:
            raise NotFound("the inspection is no longer recorded", found=verdict.inspection_id)
        items = review_queue.lock_items_of(connection, inspection.id)
        said = review_verdicts.verdicts_of_inspection(connection, inspection.id)
        outcome = settle(inspection.decision, items, said)
        self._arbitrate(connection, inspection, items, outcome, verdict.given_ms)
        wafer = self._settle(connection, inspection, outcome, verdict)
        return Consequence(
            disposition=outcome.disposition,
            reason=outcome.reason,
            defect_class=outcome.defect_class,
            arbitration=outcome.arbitration,
            wafer=wafer,
        )

    def _arbitrate(
        self,
        connection: Connection,
        inspection: StoredInspection,
        items: list[ReviewItem],
        outcome: Outcome,
        now_ms: int,
    ) -> None:
        """Ask for an arbitration, or take back one that is not needed; close looks that are needless by now."""
        arbitrations = [item for item in items if item.purpose is Purpose.ARBITRATION]
        is_open = [item for item in arbitrations if item.closed_ms is None]
        if outcome.arbitration and not is_open:
            asked = self._admission.arbitration_of(inspection, len(arbitrations))
            review_queue.add_items(connection, [asked])
        needless = [] if outcome.arbitration else is_open
        if outcome.disposition is not DecisionKind.REVIEW and outcome.by is not None:
            needless = [item for item in items if item.closed_ms is None and item.purpose is not Purpose.KNOWN]
        for item in needless:
            review_queue.close_item(connection, item.id, None, now_ms, reveal=False)

    def _settle(
        self, connection: Connection, inspection: StoredInspection, outcome: Outcome, verdict: StoredVerdict
    ) -> DecisionKind | None:
        """Write what holds, if it is not what held; the wafer's new disposition, if there is one."""
        before = review_verdicts.newest_settlement(connection, inspection.id)
        if outcome.by is None and before is None:
            return None
        told = (outcome.disposition, outcome.defect_class, outcome.reason)
        if before is not None and told == (before.disposition, before.defect_class, before.reason):
            return None
        settlement = Settlement(
            inspection_id=inspection.id,
            settled_ms=verdict.given_ms,
            disposition=outcome.disposition,
            defect_class=outcome.defect_class,
            reason=outcome.reason,
            settled_by=verdict.person,
            verdict_id=verdict.id,
        )
        seq = review_verdicts.add_settlement(connection, settlement)
        wafer = self._wafer(connection, inspection, settlement)
        if wafer is not None:
            review_verdicts.note_wafer(connection, seq, add_disposition(connection, wafer))
        return None if wafer is None else wafer.disposition

    def _wafer(
        self, connection: Connection, inspection: StoredInspection, settlement: Settlement
    ) -> Disposition | None:
        points = review_verdicts.held_decisions(connection, inspection.wafer_id)
        decided = decide_wafer(points, self._num_points.get(inspection.product))
        last, by_review = review_verdicts.disposition_made_by_review(connection, inspection.wafer_id)
        if decided.kind is last or (last is None and decided.kind is DecisionKind.REVIEW):
            return None
        if last is not None and not by_review and not _worsens(inspection, settlement, decided.kind, last):
            return None
        return Disposition(
            wafer_id=inspection.wafer_id,
            settled_ms=settlement.settled_ms,
            disposition=decided.kind,
            num_points=decided.num_points,
            reason=f"{decided.reason}; point {inspection.inspection_point}: {settlement.reason}",
            settled_by=settlement.settled_by,
        )


def _worsens(
    inspection: StoredInspection, settlement: Settlement, wafer: DecisionKind, last: DecisionKind
) -> bool:
    """Whether this very verdict is news that whoever settled the wafer did not have, and bad news."""
    is_news = settlement.disposition is DecisionKind.REJECT or inspection.decision is DecisionKind.PASS
    return is_news and _BADNESS[wafer] > _BADNESS[last]


def with_consequence(detail: dict[str, object], consequence: Consequence | None) -> dict[str, object]:
    """An entry of the audit log that also says what followed."""
    if consequence is None:
        return detail
    wafer = None if consequence.wafer is None else str(consequence.wafer)
    return detail | {"disposition": str(consequence.disposition), "reason": consequence.reason, "wafer": wafer}

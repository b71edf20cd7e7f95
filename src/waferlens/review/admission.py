"""Which looks an inspection asks for, decided when it is recorded and written in the same transaction.

REVIEW, and REJECT if wanted   one look, or two by different people; some of them blind
PASS                           none; a random sample is audited, always blind
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from waferlens.records import DecisionKind
from waferlens.review.draws import Draws
from waferlens.review.policy import ReviewOptions
from waferlens.storage.review_stored import ARBITERS, EVERYBODY, Purpose, ReviewItem, for_person
from waferlens.storage.stored import StoredInspection

NOTHING_INFERRED_SLACK = -1e6
"""Nothing is known of such an image: it comes before everything else."""

_TIME_DIGITS, _ID_DIGITS = 12, 32


class Admission:
    """Makes items. Knows no database."""

    def __init__(self, draws: Draws, options: ReviewOptions) -> None:
        self._draws, self._options = draws, options

    def items_of(self, inspection: StoredInspection) -> list[ReviewItem]:
        """The looks that an inspection asks for; none for most of what passed."""
        return list(self._items_of(inspection))

    def _items_of(self, inspection: StoredInspection) -> Iterator[ReviewItem]:
        options, draws = self._options, self._draws
        if self._is_doubtful(inspection):
            num_seats = 2 if draws.chosen(options.double_share, "double", inspection.id) else 1
            # Both people see the same: otherwise their agreement would be that of two tasks.
            blind = draws.chosen(options.blind_share, "blind", inspection.id)
            for seat in range(1, num_seats + 1):
                yield self._item(inspection, Purpose.DOUBT, seat, blind, EVERYBODY, slack_of(inspection))
        elif self.is_audited(inspection.id, inspection.decision):
            # Their slack is drawn, so that "riskiest first" neither hides audits at the end nor gives them away.
            slack = draws.number("slack of an audit", inspection.id)
            yield self._item(inspection, Purpose.AUDIT, 1, True, EVERYBODY, slack)

    def _is_doubtful(self, inspection: StoredInspection) -> bool:
        rejected = inspection.decision is DecisionKind.REJECT and self._options.include_reject
        return rejected or inspection.decision is DecisionKind.REVIEW

    def is_audited(self, inspection_id: str, decision: DecisionKind) -> bool:
        """Whether a passed image is in the audit's sample."""
        return decision is DecisionKind.PASS and self._draws.chosen(
            self._options.audit_share, "audit", inspection_id
        )

    def arbitration_of(self, inspection: StoredInspection, number: int) -> ReviewItem:
        """The look that ends a disagreement. number: how many arbitrations the inspection had before."""
        slack = slack_of(inspection)
        return self._item(inspection, Purpose.ARBITRATION, number + 1, False, ARBITERS, slack)

    def known_id(self, beside: ReviewItem, person: str) -> str:
        """The id of the known answer that a person is asked beside an item: there is one."""
        told = self._draws.name("known", beside.inspection_id, person)
        return beside.id[:_TIME_DIGITS] + told[: _ID_DIGITS - _TIME_DIGITS]

    def known_of(self, inspection: StoredInspection, beside: ReviewItem, person: str) -> ReviewItem:
        """A look of one person at an image whose answer is known; blind as often as any other like it.

        What would wait for nobody but an audit is always blind: seen with its score, it would give itself away.
        """
        drawn = self._draws.chosen(self._options.blind_share, "blind", inspection.id, person)
        blind = drawn or not self._is_doubtful(inspection)
        item = self._item(inspection, Purpose.KNOWN, 1, blind, for_person(person), beside.slack)
        return replace(item, id=self.known_id(beside, person), admitted_ms=beside.admitted_ms)

    def atlas_of(self, inspection: StoredInspection, person: str, number: int) -> ReviewItem:
        """The look that somebody took at an image in a group that they labelled."""
        slack = slack_of(inspection)
        return self._item(inspection, Purpose.ATLAS, number + 1, False, for_person(person), slack, person)

    def _item(
        self,
        inspection: StoredInspection,
        purpose: Purpose,
        seat: int,
        blind: bool,
        addressee: str,
        slack: float,
        *about: str,
    ) -> ReviewItem:
        told = self._draws.name("item", inspection.id, str(purpose), str(seat), *about)
        return ReviewItem(
            id=inspection.id[:_TIME_DIGITS] + told[: _ID_DIGITS - _TIME_DIGITS],
            inspection_id=inspection.id,
            purpose=purpose,
            seat=seat,
            blind=blind,
            addressee=addressee,
            slack=slack,
            admitted_ms=inspection.received_ms,
        )


def slack_of(inspection: StoredInspection) -> float:
    """Share of the REVIEW band between the score and REJECT: 1 where REVIEW begins, 0 at REJECT, below beyond."""
    decided_on = getattr(inspection, inspection.score_name, None)
    if decided_on is None:
        return NOTHING_INFERRED_SLACK
    band = inspection.reject_threshold - inspection.review_threshold
    return float((inspection.reject_threshold - decided_on) / band) if band > 0 else 0.0

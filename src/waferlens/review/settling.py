"""What follows for an inspection from everything that people said of it. Pure: no database, no clock.

    nobody has said anything    the model's decision holds
    an arbiter has              their last word holds
    people differ, or unsure    REVIEW, and an arbitration is asked for
    another look is to come     REVIEW
    all agree                   what they say; but an audit that finds a defect, and a look that rejects while
                                it is blind and passes once the score is seen, go to arbitration first

So nothing becomes PASS while anybody doubts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from waferlens.records import DecisionKind
from waferlens.storage.accounts import Role
from waferlens.storage.review_stored import Choice, Purpose, ReviewItem, StoredVerdict

_DISPOSITIONS = {Choice.PASS: DecisionKind.PASS, Choice.REJECT: DecisionKind.REJECT}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What holds now. arbitration: whether somebody has to decide. by: the verdict it rests on; None: nobody's."""

    disposition: DecisionKind
    defect_class: str | None
    reason: str
    arbitration: bool
    by: StoredVerdict | None


def settle(machine: DecisionKind, items: Sequence[ReviewItem], said: Sequence[StoredVerdict]) -> Outcome:
    """The outcome. items: all of the inspection. said: every verdict on them, in their order."""
    purposes = {item.id: item.purpose for item in items}
    standing = [each for each in standing_of(said) if purposes[each.item_id] is not Purpose.KNOWN]
    final = [each for each in standing if _is_final(each, purposes[each.item_id])]
    if final:
        last = final[-1]
        return _agreed(last, last.defect_class, f"decided by {last.person}")
    opinions = list({each.person: each for each in standing}.values())
    if not opinions:
        return Outcome(
            disposition=machine, defect_class=None, reason="nobody has looked", arbitration=False, by=None
        )
    last = opinions[-1]
    doubt = _doubt(machine, opinions, said)
    if doubt is not None:
        return _in_review(last, doubt, arbitration=True)
    if any(_is_look(item) and item.closed_ms is None for item in items):
        return _in_review(last, "another look is to come", arbitration=False)
    classes = [each.defect_class for each in opinions if each.defect_class is not None]
    people = " and ".join(each.person for each in opinions)
    return _agreed(last, classes[-1] if classes else None, f"{last.choice} by {people}")


def standing_of(said: Sequence[StoredVerdict]) -> list[StoredVerdict]:
    """Those that nothing supersedes and that are not withdrawals."""
    superseded = {each.supersedes for each in said}
    return [each for each in said if each.id not in superseded and each.choice is not Choice.WITHDRAWN]


def _is_final(verdict: StoredVerdict, purpose: Purpose) -> bool:
    """An arbiter's word; and an engineer's who labels a group of images."""
    labelled = purpose is Purpose.ATLAS and verdict.role in (Role.ENGINEER, Role.ADMIN)
    return purpose is Purpose.ARBITRATION or labelled


def _is_look(item: ReviewItem) -> bool:
    return item.purpose in (Purpose.DOUBT, Purpose.AUDIT)


def _doubt(machine: DecisionKind, opinions: Sequence[StoredVerdict], said: Sequence[StoredVerdict]) -> str | None:
    """Why somebody else must decide, or None."""
    choices = {each.choice for each in opinions}
    classes = {each.defect_class for each in opinions if each.defect_class is not None}
    unsure = [each.person for each in opinions if each.choice is Choice.UNSURE]
    if unsure:
        return f"unsure: {' and '.join(unsure)}"
    if len(choices) > 1:
        return "people differ: " + ", ".join(f"{each.choice} by {each.person}" for each in opinions)
    if len(classes) > 1:
        return "people name different classes: " + ", ".join(f"{e.defect_class} by {e.person}" for e in opinions)
    if machine is DecisionKind.PASS and choices == {Choice.REJECT}:
        return f"it passed, and {opinions[-1].person} finds a defect"
    reassured = next(_reassured(opinions, said), None)
    return None if reassured is None else f"{reassured} passed it only after seeing the score"


def _reassured(opinions: Sequence[StoredVerdict], said: Sequence[StoredVerdict]) -> Iterator[str]:
    """People who rejected while they were blind and passed once they had seen the score."""
    by_id = {each.id: each for each in said}
    for opinion in opinions:
        earlier = by_id.get(opinion.supersedes or "")
        if earlier is None or earlier.saw_score or not opinion.saw_score:
            continue
        if earlier.choice is Choice.REJECT and opinion.choice is Choice.PASS:
            yield opinion.person


def _agreed(verdict: StoredVerdict, defect_class: str | None, reason: str) -> Outcome:
    disposition = _DISPOSITIONS.get(verdict.choice, DecisionKind.REVIEW)
    return Outcome(
        disposition=disposition,
        defect_class=defect_class if disposition is DecisionKind.REJECT else None,
        reason=reason,
        arbitration=disposition is DecisionKind.REVIEW,
        by=verdict,
    )


def _in_review(verdict: StoredVerdict, reason: str, *, arbitration: bool) -> Outcome:
    return Outcome(
        disposition=DecisionKind.REVIEW, defect_class=None, reason=reason, arbitration=arbitration, by=verdict
    )

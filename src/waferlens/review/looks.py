"""From verdicts to looks: what a person thought before the score was shown, and what stands in the end. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from waferlens.records import DecisionKind, Label
from waferlens.storage.review_figures import Said
from waferlens.storage.review_stored import Choice, Purpose


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What somebody thinks of an image."""

    choice: Choice
    defect_class: str | None


@dataclass(frozen=True, kw_only=True)
class PersonsLook:
    """One look of one person that ended with a verdict.

    before: their opinion before the score was shown, in a blind look; None in any other. after: what stands.
    machine: what the model decided. truth, true_class: where the answer is known.
    """

    inspection_id: str
    person: str
    purpose: Purpose
    seat: int
    before: Opinion | None
    after: Opinion
    seen_since: bool
    machine: DecisionKind
    truth: Label | None
    true_class: str | None
    looked_ms: int | None

    @property
    def independent(self) -> Opinion:
        """The opinion that owes least to the model: the one before the score was shown, if there is one."""
        return self.before or self.after


def looks_of(said: Iterable[Said]) -> list[PersonsLook]:
    """Looks in the order of their first verdict. said: every verdict of some items, in order.

    A look that was taken back and not judged again is none. seen_since: whether a blind look was confirmed or
    changed once the score was seen.
    """
    by_item: dict[str, list[Said]] = {}
    for each in said:
        by_item.setdefault(each.item_id, []).append(each)
    found = (_look_of(chain) for chain in by_item.values())
    return [look for look in found if look is not None]


def _look_of(chain: list[Said]) -> PersonsLook | None:
    superseded = {each.supersedes: each for each in chain}
    last = next((each for each in reversed(chain) if each.id not in superseded), None)
    if last is None or last.choice is Choice.WITHDRAWN:
        return None
    blind = [each for each in chain if not each.saw_score and each.choice is not Choice.WITHDRAWN]
    # A slip that was taken back at once is no opinion.
    meant = [each for each in blind if not _was_withdrawn(superseded.get(each.id))]
    before = meant[-1] if meant else None
    timed = next((each.looked_ms for each in chain if each.looked_ms is not None), None)
    return PersonsLook(
        inspection_id=last.inspection_id,
        person=last.person,
        purpose=last.purpose,
        seat=last.seat,
        before=None if before is None else _opinion(before),
        after=_opinion(last),
        seen_since=before is not None and last is not before,
        machine=last.machine,
        truth=last.truth,
        true_class=last.true_class,
        looked_ms=timed,
    )


def _was_withdrawn(by: Said | None) -> bool:
    return by is not None and by.choice is Choice.WITHDRAWN


def _opinion(said: Said) -> Opinion:
    return Opinion(choice=said.choice, defect_class=said.defect_class)

"""What a person may say of an image, and when: the conditions of a verdict, apart from how it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from waferlens.errors import Conflict, NotAllowed, OptionsError
from waferlens.review.settling import standing_of
from waferlens.storage import review_known
from waferlens.storage.accounts import Identity
from waferlens.storage.review_stored import Choice, Purpose, ReviewItem, StoredVerdict

_LONGEST_NOTE, _LONGEST_KEY = 2000, 64


@dataclass(frozen=True, kw_only=True)
class Saying:
    """What a person says of one image. defect_class: only of what they reject; None: not named."""

    choice: Choice
    defect_class: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.choice is Choice.WITHDRAWN:
            raise OptionsError("a verdict is taken back by undoing it", expected="pass, reject or unsure")
        if self.defect_class is not None and self.choice is not Choice.REJECT:
            raise OptionsError("only what is rejected has a defect class", found=str(self.choice))
        if len(self.note) > _LONGEST_NOTE or "\0" in self.note:
            raise OptionsError("the note cannot be kept", expected=f"up to {_LONGEST_NOTE} characters of text")


def detail_of(verdict: StoredVerdict) -> dict[str, object]:
    """A verdict for the audit log."""
    return {
        "verdict": verdict.id,
        "inspection": verdict.inspection_id,
        "choice": str(verdict.choice),
        "class": verdict.defect_class,
        "note": verdict.note,
        "saw_score": verdict.saw_score,
        "supersedes": verdict.supersedes,
    }


def require_key(key: str) -> None:
    """Raises OptionsError unless the client's key can be kept."""
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
        raise OptionsError("the key of an act", expected=f"1 to {_LONGEST_KEY} characters", found=repr(key[:80]))


def require_class(connection: Connection, name: str | None) -> None:
    """Raises OptionsError unless the class may be given."""
    if name is None:
        return
    found = review_known.find_class(connection, name)
    if found is None or found.retired_ms is not None:
        raise OptionsError("no such defect class", expected="one that is in use", found=name)


def require_decided(item: ReviewItem, saying: Saying) -> None:
    """Raises OptionsError where an arbiter does not decide."""
    if item.purpose is Purpose.ARBITRATION and saying.choice is Choice.UNSURE:
        raise OptionsError("an arbitration ends with a decision", expected="pass or reject; or give it back")


def require_item(
    item: ReviewItem, who: Identity, said: Sequence[StoredVerdict], supersedes: str | None, now_ms: int
) -> None:
    """The item must be this person's to judge now. said: of its inspection. Raises Conflict, NotAllowed."""
    if item.held(now_ms) and item.claimed_by != who.name:
        raise Conflict("somebody else has this item by now", expected="an item that you claimed", found=item.id)
    if item.claimed_by != who.name:
        raise NotAllowed("this item was not given to you", expected="an item that you claimed", found=item.id)
    standing = standing_of(said)
    if any(each.person == who.name and each.item_id != item.id for each in standing):
        raise Conflict("you have judged this image already", expected="one verdict of a person on an image")
    own = next((each.id for each in standing if each.item_id == item.id), None)
    if own != supersedes:
        raise Conflict(
            "this item is judged",
            expected=f"a verdict that supersedes {own}",
            found=f"one that supersedes {supersedes}",
        )
    if item.closed_ms is not None and own is None:
        raise Conflict("nothing is asked here any more", found=item.id)


def same(earlier: Sequence[StoredVerdict], item_id: str, saying: Saying) -> StoredVerdict:
    """The verdict that a key stands for. Raises Conflict unless it is this one."""
    for verdict in earlier:
        told = (verdict.item_id, verdict.choice, verdict.defect_class, verdict.note)
        if told == (item_id, saying.choice, saying.defect_class, saying.note):
            return verdict
    raise Conflict("this key stands for another verdict", expected="a new key for each act", found=item_id)

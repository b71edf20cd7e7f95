"""What the review keeps, row by row. Knows neither SQL nor who may do what.

item        one look that one person is to take at one inspection; two people at one inspection are two items.
verdict     what a person said in that look. Thinking again, or undoing, is another verdict that supersedes it.
standing    a verdict that nothing supersedes and that is not a withdrawal.
settlement  what follows for the inspection from all verdicts on it: its disposition from now on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from waferlens.records import DecisionKind, Label
from waferlens.storage.accounts import Role

EVERYBODY, ARBITERS = "everybody", "arbiters"
"""Whom an item waits for; or one person: see ``for_person``."""


class Purpose(StrEnum):
    """Why somebody is to look.

    DOUBT: the model did not pass it. AUDIT: it passed, and a random sample is looked at again, blind.
    KNOWN: its answer is known, and the look measures the inspector. ARBITRATION: people, or a person and the
    model, did not agree. ATLAS: somebody labelled a group of images at once.
    """

    DOUBT = "doubt"
    AUDIT = "audit"
    KNOWN = "known"
    ARBITRATION = "arbitration"
    ATLAS = "atlas"


class Choice(StrEnum):
    """What a person may say of an image; WITHDRAWN takes back what was said before."""

    PASS = "pass"
    REJECT = "reject"
    UNSURE = "unsure"
    WITHDRAWN = "withdrawn"


class Order(StrEnum):
    """Which item comes first."""

    OLDEST = "oldest"
    RISKIEST = "riskiest"


def for_person(name: str) -> str:
    """The addressee of an item that only this person may have."""
    return f"@{name}"


@dataclass(frozen=True, kw_only=True)
class ReviewItem:
    """One look that one person is to take at one inspection.

    id: 32 hex digits that sort by the inspection's arrival and tell nothing of the purpose. seat: 1, or 2 where
    two people look. blind: score and heatmap are shown only after a verdict; revealed_ms: when they were.
    addressee: EVERYBODY, ARBITERS or one person. slack: share of the REVIEW band between the score and REJECT, 1
    at its begin, 0 at its end; the smaller, the riskier. not_for: who has taken the other seat, or empty.
    claimed_*: who has it, since when and until when (0: nobody); claimed_by stays once it is closed.
    """

    id: str
    inspection_id: str
    purpose: Purpose
    seat: int
    blind: bool
    addressee: str
    slack: float
    admitted_ms: int
    not_for: str = ""
    claimed_by: str | None = None
    claimed_ms: int | None = None
    claimed_until_ms: int = 0
    revealed_ms: int | None = None
    closed_ms: int | None = None

    @property
    def hides_score(self) -> bool:
        """Whether score and heatmap must not be shown to the person who has it."""
        return self.blind and self.revealed_ms is None

    def held_by(self, person: str, now_ms: int) -> bool:
        """Whether this person has the claim now."""
        return self.claimed_by == person and self.closed_ms is None and self.claimed_until_ms >= now_ms

    def held(self, now_ms: int) -> bool:
        """Whether anybody has."""
        return self.claimed_by is not None and self.closed_ms is None and self.claimed_until_ms >= now_ms


@dataclass(frozen=True, kw_only=True)
class StoredVerdict:
    """What a person said. saw_score: whether score and heatmap had been shown to them before.

    role: theirs at that time. looked_ms: from the claim to the verdict; None where nothing was claimed.
    key: made by the client, the same in every retry; several verdicts of one act share it.
    """

    id: str
    item_id: str
    inspection_id: str
    person: str
    role: Role
    choice: Choice
    defect_class: str | None
    note: str
    saw_score: bool
    given_ms: int
    looked_ms: int | None
    key: str
    supersedes: str | None


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What holds for an inspection from settled_ms on. disposition: REVIEW while people have not agreed.

    verdict_id: the verdict that brought it about. wafer_seq: the row of the wafer's disposition that came with it.
    """

    inspection_id: str
    settled_ms: int
    disposition: DecisionKind
    defect_class: str | None
    reason: str
    settled_by: str
    verdict_id: str
    wafer_seq: int | None = None


@dataclass(frozen=True, kw_only=True)
class DefectClass:
    """A name for rejected images. place: in lists and on the digit keys. retired_ms: None while it is in use."""

    name: str
    description: str
    place: int
    added_by: str
    added_ms: int
    retired_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class KnownAnswer:
    """An inspection whose answer is known. truth: NORMAL or DEFECTIVE. source: how it is known."""

    inspection_id: str
    truth: Label
    defect_class: str | None
    source: str
    added_by: str
    added_ms: int
    retired_ms: int | None = None

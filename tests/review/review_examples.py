"""People, images and a review of the tests' own."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from storage_examples import an_inspection

from waferlens.records import DecisionKind
from waferlens.review.policy import ReviewOptions
from waferlens.review.saying import Saying
from waferlens.storage.accounts import Accounts, Identity, Role
from waferlens.storage.blobs import LocalBlobs
from waferlens.storage.inspections import insert_inspection
from waferlens.storage.review_stored import Choice, Order
from waferlens.storage.stored import StoredInspection, latent_bytes
from waferlens.wiring.record import Record
from waferlens.wiring.review import Review, open_review

PASS, REVIEW, REJECT = DecisionKind
ANN, BOB, CAT = (Identity(name=name, role=Role.INSPECTOR) for name in ("ann", "bob", "cat"))
EVE = Identity(name="eve", role=Role.ENGINEER)
ADA = Identity(name="ada", role=Role.ADMIN)

GOOD, BAD, UNSURE = (Saying(choice=choice) for choice in (Choice.PASS, Choice.REJECT, Choice.UNSURE))
SCRATCH, PARTICLE = (Saying(choice=Choice.REJECT, defect_class=name) for name in ("scratch", "particle"))

START_MS = 1_700_000_000_000
NUMBERS = itertools.count()


class TestClock:
    """Stands still but for a millisecond a question, until it is moved on."""

    __test__ = False

    def __init__(self) -> None:
        self.at_ms = START_MS + 3_600_000

    def now_ms(self) -> int:
        self.at_ms += 1
        return self.at_ms

    def move_on(self, seconds: float) -> None:
        self.at_ms += round(1000 * seconds)


def open_a_review(database, audit, home: Path, clock, num_points=None, **options) -> Review:
    usual = {"double_share": 0, "blind_share": 0, "audit_share": 0, "known_share": 0}
    record = Record(
        home=home,
        database=database,
        blobs=LocalBlobs(home / "blobs"),
        audit=audit,
        accounts=Accounts(database, audit),
    )
    opened = open_review(record, ReviewOptions(**usual | options), num_points or {}, clock)
    opened.taxonomy.begin_with(opened.options.classes)
    return opened


def inspected(database, review: Review, decision: DecisionKind = REVIEW, **told) -> StoredInspection:
    """A recorded and admitted inspection; each arrives a second after the one before."""
    number = next(NUMBERS)
    scores = {PASS: 0.25, REVIEW: 3.0, REJECT: 5.0}
    usual = {
        "received_ms": START_MS + 1000 * number,
        "wafer_id": f"WF-{number}",
        "decision": decision,
        "score": scores[decision],
    }
    inspection = an_inspection(**usual | told)
    with database.writing() as connection:
        insert_inspection(connection, inspection)
        review.admitting.admit(connection, inspection)
    return inspection


def latent(*numbers: float) -> bytes:
    """A latent that begins so and goes on with zeros."""
    whole = np.zeros(128, np.float32)
    whole[: len(numbers)] = numbers
    return latent_bytes(whole)


def next_item(review: Review, who: Identity = ANN, order: Order = Order.OLDEST, **told) -> str:
    """The id of the next item of a person."""
    look = review.queue.next_look(who, order, **told)
    assert look is not None
    return look.item.id


def a_key() -> str:
    return f"key-{next(NUMBERS)}"


def judged(review: Review, saying: Saying, who: Identity = ANN, **told):
    """The next item of a person, and what they say of it."""
    return review.verdicts.give(who, next_item(review, who, **told), saying, key=a_key())

"""What waits, who gets it and in which order; two people never get the same, what is left comes back."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from review_examples import (
    ANN,
    BAD,
    BOB,
    CAT,
    EVE,
    GOOD,
    PASS,
    REJECT,
    REVIEW,
    UNSURE,
    a_key,
    inspected,
    judged,
    next_item,
)

from waferlens.errors import Conflict, NotAllowed, NotFound
from waferlens.records import Label
from waferlens.storage.accounts import Identity, Role
from waferlens.storage.review_stored import Order, Purpose


def looked_at(review, who=ANN, order=Order.OLDEST, **told):
    look = review.queue.next_look(who, order, **told)
    return None if look is None else look.inspection.id


def test_what_is_in_doubt_waits_and_what_passed_or_is_rejected_does_not(database, review):
    for kind in (PASS, REJECT, REVIEW):
        inspected(database, review, kind)
    assert review.queue.waiting().num_looks == 1


def test_what_is_rejected_waits_too_where_the_policy_says_so(database, a_review):
    review = a_review(include_reject=True)
    for kind in (PASS, REJECT, REVIEW):
        inspected(database, review, kind)
    assert review.queue.waiting().num_looks == 2


def test_the_oldest_comes_first(database, review):
    stored = [inspected(database, review) for _ in range(3)]
    assert [looked_at(review, ANN), looked_at(review, BOB)] == [stored[0].id, stored[1].id]


def test_the_riskiest_comes_first_and_what_nothing_is_known_of_before_it(database, review):
    low, high = (inspected(database, review, score=score) for score in (2.1, 3.9))
    failed = inspected(database, review, score=None, failure="engine")
    found = []
    while (look := review.queue.next_look(ANN, Order.RISKIEST)) is not None:
        found.append(look.inspection.id)
        review.verdicts.give(ANN, look.item.id, GOOD, key=a_key())
    assert found == [failed.id, high.id, low.id]


def test_an_empty_queue_gives_nothing(review):
    assert review.queue.next_look(ANN, Order.OLDEST) is None
    assert review.queue.waiting().oldest_ms is None


def test_a_claim_that_is_left_is_given_to_somebody_else(database, review, clock):
    stored = inspected(database, review)
    assert looked_at(review, ANN) == stored.id
    assert looked_at(review, BOB) is None
    clock.move_on(review.options.lease_seconds + 1)
    assert looked_at(review, BOB) == stored.id


def test_a_claim_is_kept_as_long_as_its_page_is_open(database, review, clock):
    inspected(database, review)
    item = next_item(review, ANN)
    for _ in range(5):
        clock.move_on(review.options.lease_seconds * 0.9)
        review.queue.keep(ANN, item)
        assert looked_at(review, BOB) is None
    clock.move_on(review.options.lease_seconds + 1)
    assert next_item(review, BOB) == item
    with pytest.raises(Conflict, match="no longer yours"):
        review.queue.keep(ANN, item)


def test_an_item_that_is_given_back_waits_again_at_once(database, review):
    inspected(database, review)
    item = next_item(review, ANN)
    review.queue.release(BOB, item)
    assert looked_at(review, BOB) is None
    review.queue.release(ANN, item)
    assert next_item(review, BOB) == item


def test_whoever_asks_again_gets_what_they_had(database, review):
    for _ in range(2):
        inspected(database, review)
    assert next_item(review, ANN) == next_item(review, ANN)


def test_the_next_one_may_be_fetched_while_one_is_on_the_screen_but_not_without_end(database, review):
    for _ in range(9):
        inspected(database, review)
    having = []
    for _ in range(review.options.held_at_once):
        having.append(next_item(review, ANN, having=having))
    assert len(set(having)) == review.options.held_at_once
    with pytest.raises(Conflict, match="too many"):
        review.queue.next_look(ANN, Order.OLDEST, having=having)


def test_two_people_look_at_an_image_and_nobody_twice(database, a_review):
    review = a_review(double_share=1)
    stored = inspected(database, review)
    assert looked_at(review, ANN) == stored.id
    assert looked_at(review, ANN, having=[next_item(review, ANN)]) is None
    judged(review, GOOD, ANN)
    assert looked_at(review, ANN) is None
    assert looked_at(review, BOB) == stored.id
    judged(review, GOOD, BOB)
    assert looked_at(review, CAT) is None


@pytest.mark.parametrize("order", Order)
def test_many_threads_never_get_the_same_item(database, a_review, order):
    review = a_review(held_at_once=20, double_share=0.5)
    stored = [inspected(database, review, score=2.0 + number / 50) for number in range(40)]
    people = [Identity(name=f"person-{number}", role=Role.INSPECTOR) for number in range(6)]

    def all_of(who):
        having = []
        while len(having) < 20 and (look := review.queue.next_look(who, order, having=having)) is not None:
            having.append(look.item.id)
        return having

    with ThreadPoolExecutor(6) as pool:
        claimed = list(pool.map(all_of, people))
    items = [item for having in claimed for item in having]
    assert len(items) == len(set(items)) == review.queue.waiting().num_looks
    for having in claimed:
        images = [review.queue.look_at(people[claimed.index(having)], item).inspection.id for item in having]
        assert len(images) == len(set(images))
    assert len(stored) < len(items)


CLAIM_ALL = """
import sys
from waferlens.storage.accounts import Identity, Role
from waferlens.storage.audit import AuditLog
from waferlens.storage.database import open_database
from waferlens.review.policy import ReviewOptions
from waferlens.storage.review_stored import Order
from waferlens.wiring.record import Record
from waferlens.wiring.review import open_review
from pathlib import Path
url, name, home = sys.argv[1:]
database = open_database(url)
audit = AuditLog(database, Path(home) / "head.json")
record = Record(home=Path(home), database=database, blobs=None, audit=audit, accounts=None)
review = open_review(record, ReviewOptions(held_at_once=20, known_share=0), {})
who, having = Identity(name=name, role=Role.INSPECTOR), []
while len(having) < 20 and (look := review.queue.next_look(who, Order.OLDEST, having=having)) is not None:
    having.append(look.item.id)
print(*having)
"""


def test_many_processes_never_get_the_same_item(database, database_url, review, tmp_path):
    for _ in range(30):
        inspected(database, review)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM_ALL, database_url, f"person-{number}", str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    outputs = [process.communicate(timeout=60)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    claimed = [item for output in outputs for item in output]
    assert len(claimed) == len(set(claimed)) == 30


def test_a_blind_item_hides_its_score_until_a_verdict(database, a_review):
    review = a_review(blind_share=1)
    inspected(database, review)
    look = review.queue.next_look(ANN, Order.OLDEST)
    assert look.hides_score
    review.verdicts.give(ANN, look.item.id, BAD, key=a_key())
    assert not review.queue.look_at(ANN, look.item.id).hides_score


def test_an_item_is_shown_to_nobody_who_was_not_given_it(database, review):
    inspected(database, review)
    item = next_item(review, ANN)
    assert review.queue.look_at(ANN, item).item.id == item
    for who in (BOB, EVE):
        with pytest.raises(NotAllowed):
            review.queue.look_at(who, item)
    with pytest.raises(NotFound):
        review.queue.look_at(ANN, "0" * 32)


def test_what_passed_is_audited_blind_and_nothing_tells_it_from_other_blind_items(database, a_review):
    review = a_review(audit_share=1, blind_share=1)
    for kind in (PASS, REVIEW, PASS):
        inspected(database, review, kind)
    looks = []
    while (look := review.queue.next_look(ANN, Order.OLDEST)) is not None:
        looks.append(look)
        review.verdicts.give(ANN, look.item.id, GOOD, key=a_key())
    assert [look.item.purpose for look in looks] == [Purpose.AUDIT, Purpose.DOUBT, Purpose.AUDIT]
    assert all(look.hides_score and look.item.addressee == "everybody" for look in looks)
    assert len({len(look.item.id) for look in looks}) == 1


def test_an_image_that_failed_is_never_taken_for_passed(database, a_review):
    review = a_review(audit_share=0)
    inspected(database, review, REVIEW, score=None, latent=None, failure="image", reason="torn")
    assert review.queue.waiting().num_looks == 1


def known_image(database, review):
    stored = inspected(database, review, REVIEW)
    review.known.add(EVE, stored.id, Label.NORMAL, source="measured")
    return stored


def test_known_answers_are_mixed_in_once_for_each_person(database, a_review):
    review = a_review(known_share=1)
    known = {known_image(database, review).id for _ in range(2)}
    for _ in range(5):
        inspected(database, review)
    for who in (ANN, BOB):
        seen = []
        for _ in range(4):
            look = review.queue.next_look(who, Order.OLDEST)
            seen.append((look.item.purpose, look.inspection.id))
            review.verdicts.give(who, look.item.id, GOOD, key=a_key())
        asked = [inspection for purpose, inspection in seen if purpose is Purpose.KNOWN]
        assert sorted(asked) == sorted(known)
        assert [purpose for purpose, _ in seen[::2]] == [Purpose.KNOWN, Purpose.KNOWN]


@pytest.mark.parametrize(("kind", "hidden"), [(PASS, True), (REJECT, True), (REVIEW, False)])
def test_a_known_answer_that_would_not_have_come_by_itself_is_blind(database, a_review, kind, hidden):
    review = a_review(known_share=1)
    known = inspected(database, review, kind)
    review.known.add(EVE, known.id, Label.NORMAL, source="measured")
    inspected(database, review)
    look = review.queue.next_look(ANN, Order.OLDEST)
    assert (look.inspection.id, look.hides_score) == (known.id, hidden)


def test_a_known_answer_that_is_retired_is_asked_no_more(database, a_review):
    review = a_review(known_share=1)
    known = known_image(database, review)
    ordinary = inspected(database, review)
    review.known.retire(EVE, known.id)
    assert looked_at(review, ANN) == ordinary.id


def test_known_answers_do_not_wait_for_anybody_else(database, a_review):
    review = a_review(known_share=1)
    known_image(database, review)
    assert review.queue.waiting().num_looks == 0
    inspected(database, review)
    next_item(review, ANN)
    assert review.queue.waiting().num_looks == 1


def test_an_arbitration_waits_for_engineers_alone(database, review):
    inspected(database, review)
    judged(review, UNSURE, ANN)
    waiting = review.queue.waiting()
    assert (waiting.num_looks, waiting.num_arbitrations) == (0, 1)
    assert looked_at(review, BOB) is None
    for ask in (lambda: review.queue.next_look(BOB, Order.OLDEST, arbitrations=True),
                lambda: review.queue.arbitrations(BOB)):  # fmt: skip
        with pytest.raises(NotAllowed):
            ask()
    assert len(review.queue.arbitrations(EVE)) == 1
    assert next_item(review, EVE, arbitrations=True) == review.queue.arbitrations(EVE)[0].item.id


def test_where_anybody_arbitrates_nobody_does_who_has_judged_the_image(database, a_review):
    review = a_review(arbiter="anybody")
    inspected(database, review)
    judged(review, UNSURE, ANN)
    assert looked_at(review, ANN, arbitrations=True) is None
    assert looked_at(review, BOB, arbitrations=True) is not None


def test_what_another_program_recorded_is_admitted_at_start(database, a_review, clock):
    from storage_examples import an_inspection

    from waferlens.storage.inspections import insert_inspection

    review = a_review(audit_share=1)
    with database.writing() as connection:
        for kind in (PASS, REVIEW, REJECT):
            insert_inspection(connection, an_inspection(decision=kind, score=3.0))
    assert review.begin() == 3
    assert review.queue.waiting().num_looks == 2
    review.begin()
    assert review.queue.waiting().num_looks == 2

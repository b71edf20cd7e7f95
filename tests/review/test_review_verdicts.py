"""Verdicts are kept once and for ever, in one transaction with what follows from them and with the audit log."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from review_examples import (
    ANN,
    BAD,
    BOB,
    CAT,
    EVE,
    GOOD,
    PARTICLE,
    PASS,
    REJECT,
    REVIEW,
    SCRATCH,
    UNSURE,
    a_key,
    inspected,
    judged,
    next_item,
    open_a_review,
)
from sqlalchemy import delete, update
from sqlalchemy.exc import DatabaseError

from waferlens.errors import Conflict, DatabaseLost, NotAllowed, NotFound, OptionsError
from waferlens.records import Label
from waferlens.review.saying import Saying
from waferlens.storage.histories import Disposition, add_disposition, newest_disposition
from waferlens.storage.review_stored import Choice, Purpose
from waferlens.storage.review_tables import verdicts as table_of_verdicts
from waferlens.storage.review_verdicts import newest_settlement, settlements_of


def settled(database, inspection):
    with database.reading() as connection:
        return newest_settlement(connection, inspection.id)


def wafer_of(database, inspection):
    with database.reading() as connection:
        found = newest_disposition(connection, inspection.wafer_id)
    return None if found is None else found.disposition


@pytest.mark.parametrize(("saying", "kind"), [(GOOD, PASS), (BAD, REJECT), (SCRATCH, REJECT)])
def test_a_verdict_settles_the_inspection_and_its_wafer(database, review, saying, kind):
    inspection = inspected(database, review)
    given = judged(review, saying)
    held = settled(database, inspection)
    assert (held.disposition, held.defect_class) == (kind, saying.defect_class)
    assert (held.settled_by, held.verdict_id) == ("ann", given.verdict.id)
    assert wafer_of(database, inspection) is kind
    with database.reading() as connection:
        assert "ann" in newest_disposition(connection, inspection.wafer_id).reason


def test_a_verdict_its_consequence_and_the_audit_log_are_kept_together(database, review, audit):
    inspected(database, review)
    before = audit.verify()
    given = judged(review, SCRATCH)
    assert audit.verify() == before + 1
    entry = audit.entries(limit=1)[0]
    told = json.loads(entry.detail)
    assert (entry.actor, entry.action) == ("ann", "verdict given")
    assert told["verdict"] == given.verdict.id
    assert (told["choice"], told["class"], told["disposition"], told["wafer"]) == (
        "reject",
        "scratch",
        "REJECT",
        "REJECT",
    )


def test_nothing_is_kept_when_the_audit_log_fails(database, review, audit, tmp_path, clock):
    class Broken:
        def append(self, *_):
            raise ZeroDivisionError

    inspection = inspected(database, review)
    broken = open_a_review(database, audit, tmp_path, clock)
    item = next_item(review)
    broken.verdicts._audit = Broken()
    with pytest.raises(ZeroDivisionError):
        broken.verdicts.give(ANN, item, BAD, key=a_key())
    assert review.verdicts.history_of(inspection.id) == []
    assert settled(database, inspection) is None
    assert next_item(review) == item


def test_the_database_itself_refuses_to_change_a_verdict(database, review):
    inspected(database, review)
    judged(review, GOOD)
    for change in (update(table_of_verdicts).values(choice="reject"), delete(table_of_verdicts)):
        with pytest.raises((DatabaseLost, DatabaseError)), database.writing() as connection:
            connection.execute(change)


def test_the_same_key_keeps_one_verdict_however_often_it_is_sent(database, review):
    inspection = inspected(database, review)
    item, key = next_item(review), a_key()
    first = review.verdicts.give(ANN, item, BAD, key=key)
    again = review.verdicts.give(ANN, item, BAD, key=key)
    assert (first.replayed, again.replayed) == (False, True)
    assert first.verdict == again.verdict
    assert len(review.verdicts.history_of(inspection.id)) == 1


def test_the_same_key_sent_by_many_threads_at_once_keeps_one_verdict(database, review):
    inspection = inspected(database, review)
    item, key = next_item(review), a_key()
    with ThreadPoolExecutor(6) as pool:
        given = list(pool.map(lambda _: review.verdicts.give(ANN, item, BAD, key=key), range(6)))
    assert sum(not each.replayed for each in given) == 1
    assert len({each.verdict.id for each in given}) == 1
    assert len(review.verdicts.history_of(inspection.id)) == 1


def test_a_key_stands_for_one_verdict(database, review):
    inspected(database, review)
    item, key = next_item(review), a_key()
    review.verdicts.give(ANN, item, BAD, key=key)
    with pytest.raises(Conflict, match="another verdict"):
        review.verdicts.give(ANN, item, GOOD, key=key)


@pytest.mark.parametrize("key", ["", "a" * 65, "a\nb"])
def test_a_key_that_cannot_be_kept_is_refused(database, review, key):
    inspected(database, review)
    with pytest.raises(OptionsError, match="key"):
        review.verdicts.give(ANN, next_item(review), GOOD, key=key)


def test_two_people_at_the_same_moment_settle_it_together(database, a_review):
    """On PostgreSQL neither transaction sees the other's verdict unless they wait for each other."""
    review = a_review(double_share=1)
    for _ in range(5):
        inspection = inspected(database, review)
        items = {who: next_item(review, who) for who in (ANN, BOB)}
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda each: review.verdicts.give(each[0], each[1], GOOD, key=a_key()), items.items()))
        assert settled(database, inspection).disposition is PASS


def test_one_of_two_verdicts_settles_nothing_yet(database, a_review):
    review = a_review(double_share=1)
    inspection = inspected(database, review)
    judged(review, GOOD, ANN)
    assert settled(database, inspection).disposition is REVIEW
    assert wafer_of(database, inspection) is None
    judged(review, GOOD, BOB)
    assert settled(database, inspection).disposition is PASS


@pytest.mark.parametrize(("first", "second"), [(GOOD, BAD), (BAD, GOOD), (SCRATCH, PARTICLE), (GOOD, UNSURE)])
def test_people_who_differ_leave_it_to_an_arbiter_whose_word_holds(database, a_review, first, second):
    review = a_review(double_share=1)
    inspection = inspected(database, review)
    judged(review, first, ANN)
    judged(review, second, BOB)
    assert settled(database, inspection).disposition is REVIEW
    judged(review, PARTICLE, EVE, arbitrations=True)
    held = settled(database, inspection)
    assert (held.disposition, held.defect_class, held.settled_by) == (REJECT, "particle", "eve")
    assert review.queue.waiting().num_arbitrations == 0


def test_an_arbitration_ends_with_a_decision(database, review):
    inspected(database, review)
    judged(review, UNSURE)
    item = next_item(review, EVE, arbitrations=True)
    with pytest.raises(OptionsError, match="ends with a decision"):
        review.verdicts.give(EVE, item, UNSURE, key=a_key())


def test_the_other_look_is_closed_once_an_arbiter_has_decided(database, a_review):
    review = a_review(double_share=1)
    inspected(database, review)
    judged(review, UNSURE, ANN)
    item = next_item(review, BOB)
    judged(review, GOOD, EVE, arbitrations=True)
    assert review.queue.waiting().num_looks == 0
    with pytest.raises(NotAllowed):
        review.verdicts.give(BOB, item, BAD, key=a_key())


def test_a_defect_that_the_audit_finds_is_confirmed_before_it_counts(database, a_review):
    review = a_review(audit_share=1)
    inspection = inspected(database, review, PASS)
    judged(review, BAD, ANN)
    assert settled(database, inspection).disposition is REVIEW
    judged(review, BAD, EVE, arbitrations=True)
    assert settled(database, inspection).disposition is REJECT
    assert wafer_of(database, inspection) is REJECT


def test_an_audit_that_agrees_confirms(database, a_review):
    review = a_review(audit_share=1)
    inspection = inspected(database, review, PASS)
    judged(review, GOOD, ANN)
    assert settled(database, inspection).disposition is PASS


def test_a_blind_verdict_is_kept_beside_the_one_after_the_score(database, a_review):
    review = a_review(blind_share=1)
    inspection = inspected(database, review)
    before = judged(review, GOOD, ANN)
    after = review.verdicts.give(ANN, before.verdict.item_id, BAD, key=a_key(), supersedes=before.verdict.id)
    kept = review.verdicts.history_of(inspection.id)
    assert [(each.choice, each.saw_score) for each in kept] == [(Choice.PASS, False), (Choice.REJECT, True)]
    assert after.verdict.supersedes == before.verdict.id
    assert settled(database, inspection).disposition is REJECT


def test_who_rejects_blind_and_passes_once_the_score_is_seen_does_not_decide_alone(database, a_review):
    review = a_review(blind_share=1)
    inspection = inspected(database, review)
    before = judged(review, BAD, ANN)
    review.verdicts.give(ANN, before.verdict.item_id, GOOD, key=a_key(), supersedes=before.verdict.id)
    assert settled(database, inspection).disposition is REVIEW
    assert review.queue.waiting().num_arbitrations == 1


def test_a_judged_item_is_not_judged_again_by_accident(database, review):
    inspected(database, review)
    given = judged(review, GOOD)
    with pytest.raises(Conflict, match="is judged"):
        review.verdicts.give(ANN, given.verdict.item_id, BAD, key=a_key())
    with pytest.raises(NotAllowed):
        review.verdicts.give(BOB, given.verdict.item_id, BAD, key=a_key(), supersedes=given.verdict.id)


def test_an_item_that_somebody_else_has_by_now_is_theirs(database, review, clock):
    inspected(database, review)
    item = next_item(review, ANN)
    clock.move_on(review.options.lease_seconds + 1)
    assert next_item(review, BOB) == item
    with pytest.raises(Conflict, match="somebody else"):
        review.verdicts.give(ANN, item, GOOD, key=a_key())


def test_a_verdict_that_comes_late_counts_where_nobody_else_has_the_item(database, review, clock):
    inspected(database, review)
    item = next_item(review, ANN)
    clock.move_on(review.options.lease_seconds + 1)
    assert not review.verdicts.give(ANN, item, GOOD, key=a_key()).replayed


def test_what_was_never_given_cannot_be_judged(database, review):
    inspected(database, review)
    item = next_item(review, ANN)
    review.queue.release(ANN, item)
    with pytest.raises(NotAllowed):
        review.verdicts.give(BOB, item, GOOD, key=a_key())
    with pytest.raises(NotFound):
        review.verdicts.give(BOB, "0" * 32, GOOD, key=a_key())


def test_only_a_class_that_is_in_use_may_be_given(database, review):
    inspected(database, review)
    item = next_item(review)
    review.taxonomy.retire(EVE, "scratch")
    for name in ("scratch", "nonsense"):
        with pytest.raises(OptionsError, match="no such defect class"):
            review.verdicts.give(ANN, item, Saying(choice=Choice.REJECT, defect_class=name), key=a_key())


@pytest.mark.parametrize(
    "told",
    [
        {"choice": Choice.WITHDRAWN},
        {"choice": Choice.PASS, "defect_class": "scratch"},
        {"choice": Choice.PASS, "note": "x" * 2001},
        {"choice": Choice.PASS, "note": "\0"},
    ],
)
def test_some_things_cannot_be_said(told):
    with pytest.raises(OptionsError):
        Saying(**told)


def test_undoing_takes_the_last_verdict_back_and_asks_again(database, review):
    inspection = inspected(database, review)
    given = judged(review, BAD)
    (withdrawn,) = review.verdicts.undo(ANN, key=a_key())
    assert withdrawn.supersedes == given.verdict.id
    assert settled(database, inspection).disposition is REVIEW
    assert wafer_of(database, inspection) is REVIEW
    assert next_item(review, ANN) == given.verdict.item_id
    judged(review, GOOD)
    assert settled(database, inspection).disposition is PASS
    assert [each.choice for each in review.verdicts.history_of(inspection.id)] == ["reject", "withdrawn", "pass"]


def test_undoing_twice_goes_further_back_and_the_same_key_does_not(database, review):
    first, second = inspected(database, review), inspected(database, review)
    for _ in range(2):
        judged(review, GOOD)
    key = a_key()
    assert review.verdicts.undo(ANN, key=key)[0].inspection_id == second.id
    assert review.verdicts.undo(ANN, key=key)[0].inspection_id == second.id
    assert review.verdicts.undo(ANN, key=a_key())[0].inspection_id == first.id
    with pytest.raises(NotFound, match="nothing to undo"):
        review.verdicts.undo(ANN, key=a_key())


def test_only_ones_own_verdict_of_a_while_ago_is_undone(database, review, clock):
    inspected(database, review)
    judged(review, GOOD, ANN)
    with pytest.raises(NotFound):
        review.verdicts.undo(BOB, key=a_key())
    clock.move_on(review.options.undo_seconds + 1)
    with pytest.raises(NotFound):
        review.verdicts.undo(ANN, key=a_key())


def test_undoing_takes_an_arbitration_back_that_nobody_has_decided(database, review):
    inspected(database, review)
    judged(review, UNSURE)
    review.verdicts.undo(ANN, key=a_key())
    assert review.queue.waiting().num_arbitrations == 0
    judged(review, UNSURE)
    assert review.queue.waiting().num_arbitrations == 1


def test_what_an_arbiter_has_decided_is_not_undone_by_others_but_by_the_arbiter(database, review):
    inspection = inspected(database, review)
    judged(review, UNSURE, ANN)
    judged(review, GOOD, EVE, arbitrations=True)
    with pytest.raises(Conflict, match="arbiter"):
        review.verdicts.undo(ANN, key=a_key())
    review.verdicts.undo(EVE, key=a_key())
    assert settled(database, inspection).disposition is REVIEW
    assert review.queue.waiting().num_arbitrations == 1


def test_a_blind_look_that_is_undone_has_seen_the_score(database, a_review):
    review = a_review(blind_share=1)
    inspection = inspected(database, review)
    judged(review, GOOD)
    review.verdicts.undo(ANN, key=a_key())
    judged(review, BAD)
    assert [each.saw_score for each in review.verdicts.history_of(inspection.id)] == [False, True, True]


def test_a_wafer_is_settled_by_its_last_doubtful_point(database, review):
    points = [inspected(database, review, kind, wafer_id="WF-A", inspection_point=number)
              for number, kind in enumerate([PASS, REVIEW, REVIEW])]  # fmt: skip
    judged(review, GOOD)
    assert wafer_of(database, points[0]) is None
    judged(review, GOOD)
    assert wafer_of(database, points[0]) is PASS


def test_a_wafer_with_missing_points_is_not_passed(database, audit, tmp_path, clock):
    review = open_a_review(database, audit, tmp_path, clock, num_points={"transistor": 3})
    first = inspected(database, review, wafer_id="WF-B", inspection_point=0)
    judged(review, GOOD)
    assert wafer_of(database, first) is None


def test_a_wafer_that_a_person_settled_is_made_worse_by_a_verdict_and_never_better(database, review):
    def settle_by_hand(inspection, kind):
        with database.writing() as connection:
            add_disposition(
                connection,
                Disposition(
                    wafer_id=inspection.wafer_id,
                    settled_ms=1,
                    disposition=kind,
                    num_points=1,
                    reason="by hand",
                    settled_by="eve",
                ),
            )

    scrapped, shipped = inspected(database, review), inspected(database, review)
    settle_by_hand(scrapped, REJECT)
    settle_by_hand(shipped, PASS)
    judged(review, GOOD)
    judged(review, BAD)
    assert (wafer_of(database, scrapped), wafer_of(database, shipped)) == (REJECT, REJECT)


def test_a_known_answer_settles_nothing_and_asks_no_arbiter(database, a_review):
    review = a_review(known_share=1)
    known = inspected(database, review)
    review.known.add(EVE, known.id, Label.DEFECTIVE, defect_class="scratch", source="planted")
    inspected(database, review)
    given = judged(review, UNSURE, ANN)
    assert (given.verdict.inspection_id, given.consequence) == (known.id, None)
    assert settled(database, known) is None
    assert review.queue.waiting().num_arbitrations == 0


def test_what_held_before_stays_to_be_read(database, review):
    inspection = inspected(database, review)
    judged(review, UNSURE, ANN)
    judged(review, GOOD, EVE, arbitrations=True)
    with database.reading() as connection:
        history = settlements_of(connection, inspection.id)
    assert [(each.disposition, each.settled_by) for each in history] == [(REVIEW, "ann"), (PASS, "eve")]


def test_nobody_judges_one_image_under_two_items(database, a_review):
    review = a_review(double_share=1)
    inspection = inspected(database, review)
    judged(review, GOOD, ANN)
    with database.writing() as connection:
        from waferlens.storage import review_queue

        other = next(
            each for each in review_queue.lock_items_of(connection, inspection.id) if each.closed_ms is None
        )
        review_queue.claim_item(connection, other.id, "ann", 1, 2)
    with pytest.raises(Conflict, match="already"):
        review.verdicts.give(ANN, other.id, GOOD, key=a_key())
    assert next_item(review, CAT)
    assert other.purpose is Purpose.DOUBT

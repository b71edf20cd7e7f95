"""Who agrees with whom, and who may see it."""

from __future__ import annotations

import pytest
from review_examples import (
    ADA,
    ANN,
    BAD,
    BOB,
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
)

from waferlens.decision.intervals import clopper_pearson, upper_bound
from waferlens.errors import NotAllowed
from waferlens.records import Label


def line_of(review):
    return review.figures.line(review.figures.last_days(1))


def in_pairs(database, review, pairs):
    for first, second in pairs:
        inspected(database, review)
        judged(review, first, ANN)
        judged(review, second, BOB)


def test_two_people_who_judge_the_same_images_are_compared(database, a_review):
    review = a_review(double_share=1)
    in_pairs(database, review, [(GOOD, GOOD)] * 3 + [(BAD, BAD)] * 3 + [(GOOD, BAD)] * 2)
    people = line_of(review).people
    assert (people.fleiss.num_subjects, people.cohen.num_subjects) == (8, 8)
    assert people.cohen.agreement.value == 6 / 8
    assert (people.cohen.agreement.low, people.cohen.agreement.high) == clopper_pearson(6, 8)
    # 3 and 3 of 8 agree; the first says pass 5 times of 8, the second 3 times.
    assert people.cohen.estimate.value == pytest.approx((6 / 8 - 30 / 64) / (1 - 30 / 64))


def test_classes_are_compared_where_both_named_one(database, a_review):
    review = a_review(double_share=1)
    in_pairs(database, review, [(SCRATCH, SCRATCH), (PARTICLE, PARTICLE), (SCRATCH, PARTICLE), (SCRATCH, BAD)])
    classes = line_of(review).people.classes
    assert (classes.num_subjects, classes.agreement.value) == (3, pytest.approx(2 / 3))


def test_nothing_to_count_is_named_and_is_no_number(review):
    line = line_of(review)
    assert line.people.fleiss.estimate is None
    assert line.people.fleiss.why_undefined
    assert line.reference.missed.estimate is None
    assert (line.escapes.bound, line.escapes.num_needed) == (None, 2995)


def test_an_image_that_one_person_judged_compares_nobody(database, review):
    inspected(database, review)
    judged(review, GOOD)
    assert line_of(review).people.fleiss.num_subjects == 0


def test_what_was_taken_back_counts_no_more(database, a_review):
    review = a_review(double_share=1)
    in_pairs(database, review, [(GOOD, BAD)])
    review.verdicts.undo(BOB, key=a_key())
    assert line_of(review).num_looks == 1


def known(database, review, truth, name=None):
    inspection = inspected(database, review)
    review.known.add(EVE, inspection.id, truth, defect_class=name, source="planted")


def test_people_are_measured_against_known_answers(database, a_review):
    review = a_review(known_share=1)
    known(database, review, Label.DEFECTIVE, "scratch")
    for _ in range(2):
        known(database, review, Label.NORMAL)
    for _ in range(6):
        inspected(database, review)
    for _ in range(6):
        judged(review, GOOD, ANN)
        judged(review, PARTICLE, BOB)
    reference = line_of(review).reference
    assert (reference.missed.num_events, reference.missed.num_trials) == (1, 2)
    assert (reference.false_alarms.num_events, reference.false_alarms.num_trials) == (2, 4)
    assert (reference.right_class.num_events, reference.right_class.num_trials) == (0, 1)
    own = review.figures.person(BOB, "bob", review.figures.last_days(1)).reference
    assert (own.missed.num_events, own.missed.num_trials) == (0, 1)


def confirm(review, given, saying, who=ANN):
    review.verdicts.give(who, given.verdict.item_id, saying, key=a_key(), supersedes=given.verdict.id)


def test_opinions_before_and_after_the_score_are_compared(database, a_review):
    review = a_review(blind_share=1, include_reject=True)
    for kind, before, after in (
        (REJECT, GOOD, BAD),
        (REJECT, GOOD, GOOD),
        (REVIEW, BAD, GOOD),
        (REVIEW, GOOD, None),
    ):
        inspected(database, review, kind)
        given = judged(review, before)
        if after is not None:
            confirm(review, given, after)
    seeing = line_of(review).seeing
    assert (seeing.changed.num_events, seeing.changed.num_trials) == (2, 3)
    assert (seeing.towards_model.num_events, seeing.towards_model.num_trials) == (1, 2)
    assert (seeing.passed.num_events, seeing.passed.num_trials) == (1, 1)
    assert (seeing.rejected.num_events, seeing.rejected.num_trials) == (1, 2)


def test_agreement_is_that_of_opinions_before_the_score(database, a_review):
    review = a_review(blind_share=1, double_share=1)
    inspected(database, review)
    first = judged(review, GOOD, ANN)
    confirm(review, first, BAD)
    judged(review, GOOD, BOB)
    assert line_of(review).people.cohen.agreement.value == 1


def test_a_slip_that_was_taken_back_at_once_is_no_opinion_before_the_score(database, a_review):
    review = a_review(blind_share=1)
    inspected(database, review)
    judged(review, BAD)
    review.verdicts.undo(ANN, key=a_key())
    judged(review, GOOD)
    assert line_of(review).seeing.changed.num_trials == 0


def test_the_blind_audit_gives_the_rate_of_escapes_with_its_exact_bound(database, a_review):
    review = a_review(audit_share=1)
    for number in range(12):
        inspected(database, review, PASS)
        judged(review, BAD if number < 3 else GOOD)
    for saying in (BAD, GOOD):  # one is confirmed, one is not, one is open
        judged(review, saying, EVE, arbitrations=True)
    escapes = line_of(review).escapes
    assert (escapes.rate.num_events, escapes.rate.num_trials, escapes.num_open) == (1, 11, 1)
    assert escapes.bound == upper_bound(1, 11)
    assert (escapes.rate.estimate.low, escapes.rate.estimate.high) == clopper_pearson(1, 11)


def test_the_model_is_compared_with_what_people_settled(database, a_review):
    review = a_review(include_reject=True)
    for kind, saying in ((REJECT, GOOD), (REJECT, BAD), (REVIEW, GOOD), (REVIEW, UNSURE)):
        inspected(database, review, kind)
        judged(review, saying)
    overrides = {kind: (rate.num_events, rate.num_trials) for kind, rate in line_of(review).overrides.items()}
    assert overrides == {PASS: (0, 0), REVIEW: (1, 1), REJECT: (1, 2)}


def test_figures_of_a_person_are_for_that_person_and_the_quality_engineer(database, a_review):
    review = a_review(double_share=1)
    in_pairs(database, review, [(GOOD, GOOD), (GOOD, BAD)])
    period = review.figures.last_days(1)
    own = review.figures.person(ANN, "ann", period)
    assert (own.num_looks, own.colleagues.num_events, own.colleagues.num_trials) == (2, 1, 2)
    assert review.figures.person(EVE, "ann", period) == own
    assert [each.person for each in review.figures.everybody(EVE, period)] == ["ann", "bob"]
    assert review.figures.between_two(EVE, "ann", "bob", period).num_subjects == 2
    for ask in (
        lambda: review.figures.person(BOB, "ann", period),
        lambda: review.figures.person(ADA, "ann", period),
        lambda: review.figures.everybody(ANN, period),
        lambda: review.figures.between_two(ANN, "ann", "bob", period),
    ):
        with pytest.raises(NotAllowed, match="quality engineer"):
            ask()


def test_the_figures_of_the_line_name_nobody(database, a_review):
    review = a_review(double_share=1)
    in_pairs(database, review, [(GOOD, GOOD), (GOOD, BAD)])
    told = str(line_of(review).as_dict())
    assert "ann" not in told
    assert "bob" not in told


def test_a_period_holds_what_was_said_in_it(database, review, clock):
    inspected(database, review)
    judged(review, GOOD)
    clock.move_on(2 * 86_400)
    assert line_of(review).num_looks == 0
    assert review.figures.line(review.figures.last_days(3)).num_looks == 1

"""Draws can be repeated, cannot be foreseen without the secret, and hold the shares that they are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_examples import an_inspection

from waferlens.records import DecisionKind
from waferlens.review.admission import Admission, slack_of
from waferlens.review.draws import Draws
from waferlens.review.policy import ReviewOptions
from waferlens.storage.review_stored import Purpose

SHARES = st.floats(0, 1)


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_takes_what_the_smaller_one_took(name, one, other):
    draws = Draws(b"s" * 32)
    if draws.chosen(min(one, other), "audit", name):
        assert draws.chosen(max(one, other), "audit", name)


@given(st.text(), st.text(), st.text())
def test_parts_do_not_run_into_each_other(one, other, third):
    draws = Draws(b"s" * 32)
    if third:
        assert draws.name("p", one + third, other) != draws.name("p", one, third + other)


def test_a_record_draws_alike_for_ever_and_another_one_otherwise():
    names = [str(number) for number in range(2000)]
    one, same, other = ([d.chosen(0.5, "audit", name) for name in names] for d in map(Draws, [b"a", b"a", b"b"]))
    assert one == same
    assert 0.4 < sum(x == y for x, y in zip(one, other, strict=True)) / len(names) < 0.6


@pytest.mark.parametrize("share", [0.002, 0.1, 0.5])
def test_shares_are_held_and_purposes_are_drawn_apart(share):
    draws = Draws(b"secret")
    n = 40_000
    chosen = [draws.chosen(share, "audit", str(number)) for number in range(n)]
    both = sum(draws.chosen(share, "blind", str(number)) for number in range(n) if chosen[number])
    spread = 5 * (n * share * (1 - share)) ** 0.5
    assert abs(sum(chosen) - n * share) < spread
    assert abs(both - n * share**2) < 5 * (n * share**2) ** 0.5 + 5


def items_of(inspection, **options):
    return Admission(Draws(b"secret"), ReviewOptions(**options)).items_of(inspection)


def test_both_people_who_look_at_an_image_see_the_same_of_it():
    for _ in range(50):
        doubtful = an_inspection(decision=DecisionKind.REVIEW, score=3.0)
        blind = {item.blind for item in items_of(doubtful, double_share=1, blind_share=0.5)}
        assert len(blind) == 1


def test_an_id_tells_nothing_of_the_purpose():
    doubtful, passed = an_inspection(decision=DecisionKind.REVIEW, score=3.0), an_inspection()
    (one,), (other,) = items_of(doubtful, double_share=0), items_of(passed, audit_share=1)
    assert (one.purpose, other.purpose) == (Purpose.DOUBT, Purpose.AUDIT)
    assert {len(one.id), len(other.id)} == {32}
    assert (one.id[:12], other.id[:12]) == (doubtful.id[:12], passed.id[:12])
    assert one.id[12:] != doubtful.id[12:]


def test_slack_falls_with_the_score_from_one_to_zero_and_below():
    slacks = [slack_of(an_inspection(score=score)) for score in (2.0, 3.0, 4.0, 5.0)]
    assert slacks == [1.0, 0.5, 0.0, -0.5]
    assert slack_of(an_inspection(score=None)) < -1000
    case_study = an_inspection(
        score_name="reconstruction_error", reconstruction_error=0.035, review_threshold=0.02, reject_threshold=0.05
    )
    assert slack_of(case_study) == pytest.approx(0.5)

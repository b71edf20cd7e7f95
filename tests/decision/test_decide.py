"""PASS, REVIEW, REJECT: the bands, their edges, what happens to broken scores, and what confidence means."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waferlens.decision.decide import decide
from waferlens.decision.thresholds import Thresholds
from waferlens.records import DecisionKind

BANDS = Thresholds(review=2.0, reject=5.0, repeatability=0.5)
finite = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("score", "kind"),
    [
        (-3.0, DecisionKind.PASS),
        (math.nextafter(2.0, -math.inf), DecisionKind.PASS),
        (2.0, DecisionKind.REVIEW),
        (math.nextafter(5.0, -math.inf), DecisionKind.REVIEW),
        (5.0, DecisionKind.REJECT),
        (400.0, DecisionKind.REJECT),
    ],
)
def test_a_threshold_belongs_to_the_band_above_it(score, kind):
    assert decide(score, BANDS).kind is kind


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("thresholds", [BANDS, Thresholds(review=math.inf, reject=math.inf)])
def test_a_score_that_is_not_finite_is_reviewed_with_the_reason_and_never_passed(score, thresholds):
    decision = decide(score, thresholds)
    assert decision.kind is DecisionKind.REVIEW
    assert decision.confidence == 0.0
    assert "not finite" in str(decision.reason)


@given(finite, finite, st.floats(0, 1e3), st.floats(0, 1e3))
def test_confidence_is_a_probability(score, review, width, repeatability):
    decision = decide(score, Thresholds(review=review, reject=review + width, repeatability=repeatability))
    assert 0.0 <= decision.confidence <= 1.0
    assert decision.reason is None


@given(st.lists(finite, min_size=2, max_size=10))
def test_a_higher_score_is_never_judged_more_kindly(scores):
    order = [DecisionKind.PASS, DecisionKind.REVIEW, DecisionKind.REJECT]
    judged = [order.index(decide(score, BANDS).kind) for score in sorted(scores)]
    assert judged == sorted(judged)


def test_without_a_review_band_an_image_passes_or_is_rejected():
    thresholds = Thresholds(review=3.0, reject=3.0, repeatability=0.1)
    assert {decide(score, thresholds).kind for score in np.linspace(0, 6, 61)} == {
        DecisionKind.PASS,
        DecisionKind.REJECT,
    }


@pytest.mark.parametrize("score", [1.0, 1.9, 2.0, 2.4, 3.5, 4.9, 5.0, 5.3, 9.0])
def test_confidence_is_how_often_the_same_place_imaged_again_gets_the_same_decision(score):
    rng = np.random.default_rng(6)
    num = 20_000
    again = score + BANDS.repeatability * rng.standard_normal(num)
    same = np.mean([decide(value, BANDS).kind is decide(score, BANDS).kind for value in again])
    assert decide(score, BANDS).confidence == pytest.approx(same, abs=4 * 0.5 / math.sqrt(num))


def test_a_perfectly_repeatable_score_is_certain_everywhere():
    certain = Thresholds(review=2.0, reject=5.0, repeatability=0.0)
    assert {decide(score, certain).confidence for score in (-1.0, 1.999, 2.0, 4.9, 5.0, 7.0)} == {1.0}


def test_confidence_grows_with_the_distance_from_a_threshold():
    passed = [decide(2.0 - distance, BANDS).confidence for distance in (0.01, 0.2, 1.0, 3.0)]
    rejected = [decide(5.0 + distance, BANDS).confidence for distance in (0.0, 0.2, 1.0, 3.0)]
    assert passed == sorted(passed)
    assert rejected == sorted(rejected)
    assert rejected[0] == pytest.approx(0.5)

"""Thresholds from normals alone: the promised overkill, what lies beyond the data, and p-values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from waferlens.decision.thresholds import (
    ThresholdOptions,
    Thresholds,
    learn_thresholds,
    p_values,
    upper_quantile,
)
from waferlens.errors import BundleError, DataError

scores_of = st.lists(st.integers(-20, 20).map(float), min_size=2, max_size=60).map(np.array)
rates = st.sampled_from([0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.9])


def slow_conformal(scores, rate):
    """The smallest held-out score that leaves at most ``rate`` of n + 1 exchangeable scores above itself."""
    n = len(scores)
    for candidate in sorted(scores):
        not_above = sum(score <= candidate for score in scores)
        if (n + 1 - not_above) / (n + 1) <= rate + 1e-12:
            return candidate
    return None


@given(scores_of, rates)
def test_inside_the_data_the_threshold_is_the_conformal_one(scores, rate):
    threshold, extrapolated = upper_quantile(scores, rate, 0.25)
    expected = slow_conformal(scores, rate)
    assert extrapolated == (expected is None)
    if expected is not None:
        assert threshold == expected


@given(scores_of, st.lists(st.floats(1e-5, 0.99), min_size=2, max_size=8), st.floats(0.05, 0.95))
def test_a_smaller_promised_rate_never_lowers_the_threshold(scores, asked, tail_share):
    thresholds = [upper_quantile(scores, rate, tail_share)[0] for rate in sorted(asked)]
    assert thresholds == sorted(thresholds, reverse=True)


@given(scores_of, st.floats(1e-5, 0.99))
def test_the_order_of_the_held_out_images_does_not_matter(scores, rate):
    assert upper_quantile(scores, rate, 0.25) == upper_quantile(scores[::-1], rate, 0.25)


@given(scores_of, st.floats(1e-4, 0.99), st.floats(0.5, 8.0), st.floats(-5, 5))
def test_thresholds_move_with_the_unit_of_the_score(scores, rate, factor, shift):
    threshold, _ = upper_quantile(scores, rate, 0.25)
    moved, _ = upper_quantile(factor * scores + shift, rate, 0.25)
    assert moved == pytest.approx(factor * threshold + shift, abs=1e-6)


@pytest.mark.parametrize("draw", ["standard_normal", "standard_exponential", "standard_cauchy"])
@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_new_normals_exceed_the_threshold_at_most_as_often_as_promised_whatever_the_distribution(draw, rate):
    rng = np.random.default_rng(11)
    num_draws, num_normals = 4000, 39
    exceeded = 0
    for _ in range(num_draws):
        scores = getattr(rng, draw)(num_normals + 1)
        threshold, extrapolated = upper_quantile(scores[:-1], rate, 0.25)
        assert not extrapolated
        exceeded += scores[-1] > threshold
    # (n + 1) * rate is whole here, so the promise is met with equality: within four standard errors.
    assert exceeded / num_draws == pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / num_draws))


def test_the_continued_tail_is_exact_for_exponential_scores_on_average():
    rng = np.random.default_rng(2)
    rate = 1e-5  # rare enough that the largest of 400 scores, which is a lower limit, plays no part
    found = [upper_quantile(rng.standard_exponential(400), rate, 0.25)[0] for _ in range(400)]
    assert np.mean(found) == pytest.approx(-math.log(rate), abs=4 * np.std(found) / math.sqrt(len(found)))


@pytest.mark.parametrize("scores", [[], [1.0], [0.0, math.nan, 1.0], [0.0, math.inf, 1.0]])
def test_scores_that_teach_nothing_are_refused(scores):
    with pytest.raises(DataError, match="held-out normals"):
        upper_quantile(np.array(scores), 0.05, 0.25)


def test_both_thresholds_are_learned_and_marked():
    scores = np.arange(99.0)
    learned = learn_thresholds(scores, 0.3, ThresholdOptions())
    assert learned.review == math.nextafter(94.0, math.inf)  # 94 itself still passes: it is not exceeded
    assert not learned.review_extrapolated
    assert learned.reject_extrapolated
    assert learned.reject >= scores.max()
    assert (learned.num_normals, learned.repeatability, learned.policy) == (99, 0.3, "normals")


@given(scores_of)
def test_review_never_lies_above_reject(scores):
    learned = learn_thresholds(scores, 0.0, ThresholdOptions())
    assert learned.review <= learned.reject


def test_the_case_studys_two_numbers_can_be_fixed():
    options = ThresholdOptions(
        policy="fixed", score_name="reconstruction_error", review_threshold=0.02, reject_threshold=0.05
    )
    learned = learn_thresholds(np.array([0.004, 0.005]), 0.0001, options)
    assert (learned.review, learned.reject, learned.score_name) == (0.02, 0.05, "reconstruction_error")
    assert learned.review_overkill_rate is None
    assert not learned.reject_extrapolated


@pytest.mark.parametrize(
    "told",
    [
        {"policy": "fixed"},
        {"policy": "fixed", "review_threshold": 0.05, "reject_threshold": 0.02},
        {"policy": "fixed", "review_threshold": math.nan, "reject_threshold": 0.05},
        {"policy": "fixed", "review_threshold": 0.02, "reject_threshold": math.inf},
        {"review_threshold": 0.02, "reject_threshold": 0.05},
        {"score_name": "reconstruction_error"},
        {"review_overkill_rate": 0.01, "reject_overkill_rate": 0.05},
        {"review_overkill_rate": 0.0},
        {"tail": 0.1},
    ],
)
def test_options_that_contradict_each_other_are_refused(told):
    with pytest.raises(ValidationError):
        ThresholdOptions(**told)


def test_thresholds_come_back_from_their_file_as_they_were():
    learned = learn_thresholds(np.arange(50.0), 0.25, ThresholdOptions())
    assert Thresholds.from_dict(learned.as_dict()) == learned


@pytest.mark.parametrize(
    "changed",
    [
        {"review": 9.0},
        {"review": math.nan},
        {"reject": "high"},
        {"reject": None},
        {"repeatability": -1.0},
        {"repeatability": math.nan},
        {"colour": "red"},
    ],
)
def test_a_thresholds_file_that_makes_no_sense_is_refused(changed):
    content = Thresholds(review=1.0, reject=2.0).as_dict() | changed
    with pytest.raises(BundleError, match=r"thresholds\.json"):
        Thresholds.from_dict(content)


@given(scores_of, st.lists(st.integers(-22, 22).map(float), min_size=1, max_size=20).map(np.array))
def test_p_values_count_the_normals_that_are_at_least_as_anomalous(normals, scores):
    expected = [(1 + sum(normal >= score for normal in normals)) / (len(normals) + 1) for score in scores]
    np.testing.assert_allclose(p_values(scores, normals), expected)


@given(scores_of)
def test_p_values_lie_in_zero_to_one_and_fall_with_the_score(normals):
    p = p_values(np.linspace(-25, 25, 60), normals)
    assert ((p > 0) & (p <= 1)).all()
    assert (np.diff(p) <= 0).all()


def test_p_values_of_normals_are_uniform():
    rng = np.random.default_rng(4)
    p = np.array([p_values(draw[:1], draw[1:])[0] for draw in rng.standard_normal((4000, 20))])
    for level in (0.05, 0.25, 0.5):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.03)

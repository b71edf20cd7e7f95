"""The promised false-alarm rate holds on new normals: over many draws, for scores of any shape, ties included."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from waferlens.decision.false_alarms import false_alarm_range, num_left_above, overkill_interval
from waferlens.decision.intervals import clopper_pearson, upper_bound
from waferlens.decision.thresholds import (
    ThresholdOptions,
    Thresholds,
    escape_threshold,
    learn_thresholds,
    p_values,
    upper_quantile,
)
from waferlens.errors import DataError, OptionsError

SPLITS = 200
# Scores as they come: symmetric, skewed, without a mean, of two products, and on a grid that makes ties.
SHAPES = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "skewed": lambda rng, n: rng.gamma(0.5, size=n),
    "heavy": lambda rng, n: rng.standard_cauchy(n),
    "two products": lambda rng, n: rng.standard_normal(n) + 6 * (rng.random(n) < 0.3),
    "ties": lambda rng, n: np.round(rng.standard_normal(n), 1),
}


def false_alarms(rng, shape, num_normals, num_new, options):
    """Of one split: how many of the new normals reach REVIEW."""
    scores = SHAPES[shape](rng, num_normals + num_new)
    review = learn_thresholds(scores[:num_normals], 0.0, options).review
    return int((scores[num_normals:] >= review).sum())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("num_normals", "num_new", "rate"), [(68, 145, 0.05), (200, 200, 0.1), (39, 300, 0.05)])
def test_false_alarms_lie_in_their_range_in_at_least_95_percent_of_200_random_splits(
    shape, num_normals, num_new, rate
):
    rng = np.random.default_rng(31)
    options = ThresholdOptions(review_overkill_rate=rate)
    low, high = false_alarm_range(num_left_above(rate, num_normals), num_normals, num_new)
    found = np.array([false_alarms(rng, shape, num_normals, num_new, options) for _ in range(SPLITS)])
    inside = (found <= high) if shape == "ties" else (found >= low) & (found <= high)  # ties only make them rarer
    assert inside.mean() >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / SPLITS)
    assert found.mean() <= rate * num_new + 4 * found.std() / math.sqrt(SPLITS)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "ties"])
def test_with_many_held_out_normals_the_plain_binomial_interval_holds_as_well(shape):
    """Where n is large beside m the threshold hardly varies: the promised rate is inside Clopper-Pearson's."""
    rng = np.random.default_rng(5)
    options = ThresholdOptions(review_overkill_rate=0.05)
    inside = 0
    for _ in range(SPLITS):
        low, high = clopper_pearson(false_alarms(rng, shape, 4000, 200, options), 200)
        inside += low <= 0.05 <= high
    assert inside / SPLITS >= 0.95


def test_the_plain_binomial_interval_is_too_narrow_for_few_held_out_normals():
    """Why the range above is a beta-binomial one: 68 held-out normals leave the threshold itself uncertain."""
    rng = np.random.default_rng(5)
    options = ThresholdOptions(review_overkill_rate=0.05)
    found = np.array([false_alarms(rng, "normal", 68, 2000, options) for _ in range(SPLITS)])
    low, high = binom.ppf([0.025, 0.975], 2000, 3 / 69)
    assert ((found >= low) & (found <= high)).mean() < 0.8


@pytest.mark.parametrize("shape", SHAPES)
def test_with_a_confidence_the_very_bundle_keeps_its_rate_that_often(shape):
    rng = np.random.default_rng(8)
    options = ThresholdOptions(review_overkill_rate=0.1, reject_overkill_rate=0.001, overkill_confidence=0.95)
    num_new = 20_000  # so many that the share found is the bundle's rate
    broken = sum(false_alarms(rng, shape, 100, num_new, options) > 0.1 * num_new for _ in range(SPLITS))
    assert broken / SPLITS <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / SPLITS)


@pytest.mark.parametrize("shape", SHAPES)
def test_p_values_of_new_normals_are_no_smaller_than_uniform_ones(shape):
    rng = np.random.default_rng(13)
    found = []
    for _ in range(SPLITS):
        scores = SHAPES[shape](rng, 70)
        found.append(p_values(scores[60:], scores[:60]))
    p = np.array(found)
    for level in (0.05, 0.1, 0.5):
        shares = (p <= level).mean(axis=1)
        assert shares.mean() <= level + 4 * shares.std() / math.sqrt(SPLITS)


@given(st.integers(1, 400), st.floats(0.001, 0.6), st.sampled_from([None, 0.8, 0.95]))
def test_the_number_left_above_is_the_largest_that_keeps_the_promise(num_normals, rate, confidence):
    def kept(k):
        if confidence is None:
            return k / (num_normals + 1) <= rate + 1e-9
        # k of n scores above the threshold: fewer than k exceed the true (1 - rate) quantile that often
        return 1 - binom.cdf(k - 1, num_normals, rate) >= confidence

    expected = max((k for k in range(1, num_normals + 1) if kept(k)), default=0)
    assert num_left_above(rate, num_normals, confidence) == expected


@given(st.integers(1, 300), st.data())
def test_one_bundles_rate_lies_between_the_beta_quantiles(num_normals, data):
    k = data.draw(st.integers(0, num_normals))
    low, high = overkill_interval(k, num_normals)
    assert 0 <= low <= k / (num_normals + 1) <= high <= 1
    if k == 0:
        assert high == upper_bound(0, num_normals)


def test_one_bundles_rate_lies_in_its_interval_as_often_as_stated():
    rng = np.random.default_rng(3)
    low, high = overkill_interval(3, 68)
    inside = []
    for _ in range(2000):
        threshold, _ = upper_quantile(rng.random(68), 0.05, 0.25)
        inside.append(low <= 1 - threshold <= high)  # uniform scores: the rate above t is 1 - t
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_the_range_of_false_alarms_is_that_of_the_beta_binomial():
    counts = betabinom(145, 3, 66)
    low, high = false_alarm_range(3, 68, 145)
    assert counts.cdf(low - 1) <= 0.025 < counts.cdf(low)
    assert counts.cdf(high - 1) < 0.975 <= counts.cdf(high)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(OptionsError, match="overkill rate"):
        num_left_above(rate, 50)
    with pytest.raises(OptionsError, match="confidence"):
        num_left_above(0.05, 50, rate)


def test_a_thresholds_file_of_before_the_confidence_still_loads():
    content = Thresholds(review=1.0, reject=2.0).as_dict()
    del content["overkill_confidence"]
    assert Thresholds.from_dict(content).overkill_confidence is None


@pytest.mark.parametrize(("num_defects", "rate"), [(60, 0.05), (200, 0.05), (150, 0.1)])
def test_escapes_below_a_threshold_from_defects_keep_their_bound(num_defects, rate):
    rng = np.random.default_rng(17)
    broken = 0
    for _ in range(1000):
        broken += escape_threshold(rng.random(num_defects), rate) > rate  # uniform: the escape rate is t itself
    assert broken / 1000 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1000)


@given(st.integers(59, 300), st.sampled_from([0.05, 0.1, 0.3]))
def test_the_threshold_from_defects_is_the_largest_that_keeps_the_bound(num_defects, rate):
    threshold = escape_threshold(np.arange(float(num_defects))[::-1], rate)
    missed = int(threshold)
    assert upper_bound(missed, num_defects) <= rate < upper_bound(missed + 1, num_defects)


def test_too_few_defects_to_show_a_bound_say_how_many_it_takes():
    with pytest.raises(DataError, match=r"2,995 or more labelled defective images; found 40") as told:
        escape_threshold(np.arange(40.0), 0.001)
    assert "0.100%" in str(told.value)


@pytest.mark.parametrize("scores", [[math.nan, 1.0], [math.inf]])
def test_defect_scores_that_are_not_finite_are_refused(scores):
    with pytest.raises(DataError, match="finite"):
        escape_threshold(np.array(scores), 0.5)


@pytest.mark.parametrize(("rate", "confidence"), [(0.0, 0.95), (1.0, 0.95), (0.05, 0.0), (0.05, 1.0)])
def test_an_escape_bound_out_of_range_is_refused(rate, confidence):
    with pytest.raises(OptionsError, match="out of range"):
        escape_threshold(np.arange(90.0), rate, confidence)

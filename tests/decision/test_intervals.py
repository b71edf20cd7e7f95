"""Exact bounds: textbook cases, coverage, and the samples that the case study's targets take."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from waferlens.decision.intervals import clopper_pearson, sample_size_for_bound, upper_bound
from waferlens.errors import MetricError


def test_no_miss_in_two_hundred_shows_one_and_a_half_per_cent_one_sided():
    assert upper_bound(0, 200) == pytest.approx(0.0149, abs=1e-4)
    assert clopper_pearson(0, 200)[1] == pytest.approx(0.0183, abs=1e-4)


def test_a_tenth_of_a_per_cent_takes_two_thousand_nine_hundred_and_ninety_five():
    assert sample_size_for_bound(0.001, 0.95) == 2995


@pytest.mark.parametrize("bound", [0.05, 0.01, 0.005, 0.001])
def test_the_sample_size_is_the_smallest_that_shows_the_bound(bound):
    n = sample_size_for_bound(bound)
    assert upper_bound(0, n) <= bound < upper_bound(0, n - 1)


@given(st.integers(1, 300), st.data())
def test_the_interval_agrees_with_scipys(n, data):
    k = data.draw(st.integers(0, n))
    expected = binomtest(k, n).proportion_ci(method="exact")
    assert clopper_pearson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5])
def test_the_interval_covers_the_truth_at_least_as_often_as_it_says(rate):
    n = 40
    k = np.arange(n + 1)
    covers = [low <= rate <= high for low, high in (clopper_pearson(int(i), n) for i in k)]
    assert binom.pmf(k, n, rate)[covers].sum() >= 0.95


def test_a_wider_confidence_gives_a_wider_interval():
    low, high = clopper_pearson(3, 50, 0.95)
    wider_low, wider_high = clopper_pearson(3, 50, 0.99)
    assert wider_low < low < high < wider_high


@pytest.mark.parametrize(("k", "n", "confidence"), [(0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)])
def test_impossible_counts_are_refused(k, n, confidence):
    with pytest.raises(MetricError):
        clopper_pearson(k, n, confidence)


@pytest.mark.parametrize("bound", [0.0, 1.0, -0.1])
def test_a_bound_outside_zero_and_one_is_refused(bound):
    with pytest.raises(MetricError, match="bound"):
        sample_size_for_bound(bound)

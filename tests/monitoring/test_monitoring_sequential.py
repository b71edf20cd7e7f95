"""A stream without a shift alarms as seldom as stated; one with a shift soon, and says since when."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waferlens.errors import DataError, OptionsError
from waferlens.monitoring.sequential import (
    Baseline,
    CusumOptions,
    bound_for,
    group_ends,
    group_means,
    normal_scores,
    watch,
)

KNOWN = Baseline(mean=0.0, deviation=1.0, num_values=10**9)


def slow_watch(z: list[float], slack: float, bound: float) -> int | None:
    """The first alarm, from the definition: the largest sum that ends here, over all starts."""
    for end in range(len(z)):
        for start in range(end + 1):
            part = z[start : end + 1]
            if max(sum(v - slack for v in part), sum(-v - slack for v in part)) > bound:
                return end
    return None


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=40))
def test_the_first_alarm_is_that_of_the_largest_sum_over_all_starts(z: list[float]) -> None:
    options = CusumOptions(slack=0.5, run_length=50)
    found = watch(np.asarray(z), KNOWN, options)
    expected = slow_watch(z, 0.5, bound_for(50, 0.5))
    assert (found[0].index if found else None) == expected


@pytest.mark.parametrize(("slack", "run_length"), [(0.5, 400), (1.0, 400), (1.5, 300)])
def test_the_run_length_without_a_shift_is_the_one_that_was_asked_for(slack: float, run_length: float) -> None:
    values = np.random.default_rng(1).standard_normal(400_000)
    alarms = watch(values, KNOWN, CusumOptions(slack=slack, run_length=run_length, cut=50))
    assert len(values) / len(alarms) == pytest.approx(run_length, rel=0.25)


def test_a_shift_is_found_in_a_few_values_and_its_onset_is_dated() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.standard_normal(300), rng.standard_normal(50) + 4])
    first = watch(values, KNOWN, CusumOptions(run_length=1e5))[0]
    assert 300 <= first.index <= 306
    assert 297 <= first.onset <= 301
    assert first.shift > 2


def test_one_freak_value_never_alarms() -> None:
    values = np.zeros(100)
    values[50] = 1e9
    assert not watch(values, KNOWN, CusumOptions(run_length=1e5))


def test_a_baseline_knows_that_it_was_estimated() -> None:
    values = np.random.default_rng(3).standard_normal(20)
    assert Baseline.learn(values).deviation > values.std(ddof=1)
    with pytest.raises(DataError, match="more"):
        Baseline.learn(values[:5])
    with pytest.raises(DataError, match="vary"):
        Baseline.learn(np.ones(20))


def test_scores_of_the_baseline_are_normal_whatever_its_law() -> None:
    values = np.random.default_rng(4).exponential(size=999) ** 3
    scores = normal_scores(np.append(values, 1e12), 999)
    assert abs(scores[:999].mean()) < 1e-9
    assert scores[:999].std() == pytest.approx(1, abs=0.02)
    assert np.isfinite(scores[-1])
    assert scores[-1] >= scores[:999].max()


def test_a_group_that_is_not_full_waits() -> None:
    assert group_means(np.arange(7.0), 3).tolist() == [1.0, 4.0]
    assert group_ends([10, 20, 30, 40, 50, 60, 70], 3).tolist() == [30, 60]


def test_a_run_length_that_is_none_is_refused() -> None:
    with pytest.raises(OptionsError, match="run length"):
        bound_for(0.5, 1.0)
    assert math.isfinite(bound_for(1e12, 0.5))

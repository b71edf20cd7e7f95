"""A week's scores against the reference: small differences are none, however many images show them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waferlens.errors import DataError
from waferlens.monitoring.weekly import WeeklyOptions, compare_weeks, effective_size, holm, ks_distance


def week(rng: np.random.Generator, shift: float = 0.0, wafers: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Images of wafers that differ: a third of the variance lies between them."""
    between = rng.standard_normal(wafers) * np.sqrt(1 / 3)
    groups = np.repeat(np.arange(wafers), 40)
    return between[groups] + rng.standard_normal(len(groups)) * np.sqrt(2 / 3) + shift, groups


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_the_distance_is_the_largest_difference_of_two_shares(a: list[int], b: list[int]) -> None:
    ours = ks_distance(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    shares = [(sum(x <= v for x in a) / len(a), sum(x <= v for x in b) / len(b)) for v in range(10)]
    assert ours == pytest.approx(max(abs(one - other) for one, other in shares))


def test_images_of_one_wafer_count_as_few() -> None:
    scores, groups = week(np.random.default_rng(1))
    assert 300 < effective_size(scores, groups) < 1_500
    alone = np.arange(len(scores))
    assert effective_size(scores, alone) == len(scores)
    assert effective_size(np.random.default_rng(2).standard_normal(4000), groups[:4000]) > 1_500


def test_weeks_like_the_reference_hardly_ever_alarm() -> None:
    rng, alarms = np.random.default_rng(3), 0
    for _ in range(60):
        compared = compare_weeks({f"s{i}": week(rng) for i in range(4)}, rng.standard_normal(200))
        alarms += any(each.alarm for each in compared)
    assert alarms <= 2


def test_a_trifle_is_significant_and_no_alarm_but_a_large_shift_is() -> None:
    rng = np.random.default_rng(4)
    reference = rng.standard_normal(50_000)
    trifle, large = compare_weeks({"a": week(rng, 0.25, 3_000), "b": week(rng, 0.8)}, reference)
    assert trifle.adjusted_p < 0.01
    assert trifle.distance < 0.15
    assert not trifle.alarm
    assert large.alarm


def test_the_reviewed_tail_of_the_reference_is_not_taken_for_a_shift() -> None:
    rng = np.random.default_rng(5)
    scores, groups = week(rng)
    passed = scores < 0.5
    reference = rng.standard_normal(5_000)
    assert not compare_weeks({"s": (scores[passed], groups[passed])}, reference, below=0.5)[0].alarm
    assert compare_weeks({"s": (scores[passed], groups[passed])}, reference)[0].alarm
    with pytest.raises(DataError, match="no score that passes"):
        compare_weeks({"s": (scores, groups)}, reference, below=-100.0)


def test_a_week_of_few_images_is_not_judged() -> None:
    few = np.zeros(10), np.arange(10)
    assert compare_weeks({"s": few}, np.zeros(100), WeeklyOptions(least_images=50)) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_of_its_definition(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for alpha in (0.001, 0.01, 0.2):
        rejected, order = set(), np.argsort(p_values, kind="stable")
        for rank, index in enumerate(order):
            if p_values[index] * (len(p_values) - rank) > alpha:
                break
            rejected.add(int(index))
        assert {i for i, p in enumerate(adjusted) if p <= alpha} == rejected

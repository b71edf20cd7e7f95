"""The bound of escapes holds at every look, and is what betting audit by audit gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waferlens.decision.intervals import upper_bound
from waferlens.errors import MetricError, OptionsError
from waferlens.monitoring.escape import Stratum, escape_bound, plan_chances, rate_bound

SHARES = (0.80, 0.15, 0.05)


def stratum(images: int, audits: int, escapes: int, *, chance: float = 1.0, name: str = "s") -> Stratum:
    return Stratum(name=name, num_images=images, num_audits=audits, num_escapes=escapes, chance=chance)


def slow_bound(worths: list[float], most: float) -> float:
    """One bet after the other, for every rate of a grid. worths: of each audit, in the order in which it came."""
    fractions, weights = (0.98, 0.75, 0.5, 0.3, 0.15, 0.07), (0.35, 0.15, 0.15, 0.15, 0.1, 0.1)
    for theta in np.linspace(0, min(1, most), 4001)[1:-1]:
        wealth = 0.0
        for fraction, weight in zip(fractions, weights, strict=True):
            own = weight
            for worth in worths:
                own *= 1 + fraction * (theta - worth) / (most - theta)
            wealth += own
        if wealth >= 20:
            return float(theta)
    return 1.0


@pytest.mark.parametrize("audits", [[0] * 60, [0] * 40 + [1] + [0] * 40, [2, 0, 0, 1] + [0] * 90])
def test_the_bound_is_that_of_betting_audit_by_audit(audits: list[int]) -> None:
    chances = (0.25, 0.5, 1.0)
    mean = sum(w * c for w, c in zip(SHARES, chances, strict=True))
    values = [mean / c for c in chances]
    strata = [
        Stratum(
            name=str(s), num_images=int(10_000 * SHARES[s]), num_audits=audits.count(s + 1) + (len(audits) if s
            == 0 else 0), num_escapes=audits.count(s + 1), chance=chances[s],
        )
        for s in range(3)
    ]  # fmt: skip
    worths = [0.0] * (sum(s.num_audits for s in strata) - sum(s.num_escapes for s in strata))
    worths += [values[found - 1] for found in audits if found]
    assert rate_bound(strata) == pytest.approx(slow_bound(worths, max(values)), abs=max(values) / 3000)


@pytest.mark.parametrize("chances", [(1.0, 1.0, 1.0), (0.3, 0.6, 1.0)])
def test_the_bound_holds_at_every_look_at_once(chances: tuple[float, ...]) -> None:
    rng, rates, w, c = np.random.default_rng(5), np.array([2e-4, 4e-3, 0.02]), np.array(SHARES), np.array(chances)
    true_rate, failed, runs = float(w @ rates), 0, 150
    for _ in range(runs):
        audits, escapes = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
        for _ in range(40):  # forty looks, closer to each other than any person would
            more = rng.multinomial(40, w * c / (w @ c))
            audits, escapes = audits + more, escapes + rng.binomial(more, rates)
            strata = [
                stratum(int(1e6 * w[s]), int(audits[s]), int(escapes[s]), chance=float(c[s])) for s in range(3)
            ]
            if rate_bound(strata) < true_rate:
                failed += 1
                break
    assert failed / runs <= 0.05


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000), st.integers(0, 5))
def test_an_audit_without_an_escape_never_raises_the_bound_and_an_escape_never_lowers_it(n: int, k: int) -> None:
    now = rate_bound([stratum(100_000, n + k, k)])
    assert rate_bound([stratum(100_000, n + k + 1, k)]) <= now + 1e-9
    assert rate_bound([stratum(100_000, n + k + 1, k + 1)]) >= now - 1e-9


def test_looking_at_any_time_costs_little_beside_one_look_that_was_fixed_before() -> None:
    at_any_time = rate_bound([stratum(1_000_000, 3_500, 0)])
    assert upper_bound(0, 3_500) < at_any_time < 1.5 * upper_bound(0, 3_500)


def test_without_audits_nothing_is_known() -> None:
    assert rate_bound([stratum(1_000, 0, 0)]) == 1.0


def test_a_tenth_of_a_percent_of_defects_needs_thousands_of_audits() -> None:
    bound = escape_bound([stratum(100_000, 200, 0)], num_found=100_000, target=0.001)
    assert not bound.reached
    assert bound.num_needed is not None
    assert 3_000 < bound.num_needed < 6_000
    later = escape_bound([stratum(100_000, 200 + bound.num_needed, 0)], num_found=100_000, target=0.001)
    assert later.reached
    assert later.num_needed == 0


def test_no_number_of_audits_shows_a_rate_below_the_one_that_they_find() -> None:
    assert escape_bound([stratum(100_000, 1_000, 20)], num_found=1_000, target=0.001).num_needed is None


def test_the_share_of_defects_follows_from_the_rate_of_images() -> None:
    bound = escape_bound([stratum(2_000, 100, 1)], num_found=1_000, target=0.5)
    assert bound.false_negative_bound == pytest.approx(
        bound.rate_bound * 2_000 / (bound.rate_bound * 2_000 + 1_000)
    )
    assert escape_bound([stratum(2_000, 100, 0)], num_found=0).false_negative_estimate is None


def test_audits_are_planned_densely_where_escapes_are_and_then_fewer_do() -> None:
    rates = [0.03 * 5e-4 / 0.80, 0.07 * 5e-4 / 0.15, 0.9 * 5e-4 / 0.05]
    chances, num = plan_chances(SHARES, rates, 0.001)
    assert chances[2] == 1.0
    assert chances[0] < 0.5
    assert num < 0.7 * plan_chances([1.0], [5e-4], 0.001)[1]


def test_audits_are_planned_alike_where_nothing_tells_strata_apart() -> None:
    assert plan_chances(SHARES, [1e-4, 1e-4, 1e-4], 0.001)[0] == [1.0, 1.0, 1.0]
    with pytest.raises(OptionsError, match="planned"):
        plan_chances(SHARES, [0.01, 0.01, 0.01], 0.001)


def test_counts_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(MetricError, match="contradict"):
        stratum(10, 1, 2)
    with pytest.raises(OptionsError, match="chance"):
        stratum(10, 1, 0, chance=0.0)
    with pytest.raises(MetricError, match="images that passed"):
        rate_bound([stratum(0, 0, 0)])
    with pytest.raises(MetricError, match="confidence"):
        rate_bound([stratum(10, 1, 0)], 1.0)
    with pytest.raises(OptionsError, match="target"):
        escape_bound([stratum(10, 1, 0)], num_found=1, target=0.0)
    assert math.isclose(escape_bound([stratum(10, 0, 0)], num_found=5, target=0.5).rate_bound, 1.0)

"""Two rates compared, once and at every hour; guardrails that know what they do not know."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from waferlens.errors import MetricError
from waferlens.lifecycle.canary import CanaryOptions, Finding, Hour, compare_hours
from waferlens.lifecycle.guardrails import Escapes, GuardrailOptions, Health, breached, check_guardrails
from waferlens.lifecycle.proportions import Count, proportion_test, sample_needed
from waferlens.lifecycle.sequential import (
    Block,
    always_valid_p_value,
    one_rate_log_evidence,
    one_rate_p_value,
    two_rates_log_evidence,
    two_rates_p_value,
)


def count(k, n):
    return Count(num_events=k, num_trials=n)


def test_the_proportion_test_is_the_textbooks():
    """120 of 1,000 against 90 of 1,000, worked out by hand."""
    difference, p_value = proportion_test(count(120, 1000), count(90, 1000))
    z = 0.03 / math.sqrt(0.105 * 0.895 * 2 / 1000)
    assert p_value == pytest.approx(2 * norm.sf(z))
    assert difference.value == pytest.approx(-0.03)
    assert difference.low < difference.value < difference.high


@given(st.tuples(st.integers(0, 50), st.integers(1, 400)), st.tuples(st.integers(0, 50), st.integers(1, 400)))
@settings(max_examples=60, deadline=None)
def test_the_comparison_is_the_same_seen_from_either_side(a, b):
    a, b = count(min(a), max(*a, 1)), count(min(b), max(*b, 1))
    one, p_one = proportion_test(a, b)
    other, p_other = proportion_test(b, a)
    assert p_one == pytest.approx(p_other)
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
    assert -1 <= one.low <= one.value <= one.high <= 1


def test_nothing_is_known_of_an_empty_sample_and_counts_must_fit():
    difference, p_value = proportion_test(count(0, 0), count(1, 10))
    assert math.isnan(p_value)
    assert math.isnan(difference.value)
    for k, n in ((3, 2), (-1, 2)):
        with pytest.raises(MetricError):
            count(k, n)


def test_the_sample_that_was_computed_finds_the_difference_as_often_as_promised():
    n_a, n_b = sample_needed(0.02, 0.04, share=0.2, p_value=0.01, power=0.9)
    rng, num = np.random.default_rng(1), 4000
    k_a, k_b = rng.binomial(n_a, 0.02, num), rng.binomial(n_b, 0.04, num)
    found = np.mean(
        [proportion_test(count(a, n_a), count(b, n_b))[1] < 0.01 for a, b in zip(k_a, k_b, strict=True)]
    )
    assert 0.87 < found < 0.93
    with pytest.raises(MetricError):
        sample_needed(0.1, 0.1, share=0.1)


def test_evidence_under_equal_rates_has_an_expectation_of_one_at_most():
    """By enumeration of every outcome of two small blocks: no simulation, no luck."""
    from scipy.stats import binom

    for rate in (0.05, 0.3, 0.8):
        expected = 0.0
        for a in range(4):
            for b in range(3):
                for c in range(3):
                    for d in range(4):
                        chance = math.prod(binom.pmf(k, n, rate) for k, n in ((a, 3), (b, 2), (c, 2), (d, 3)))
                        told = (np.array([a, c]), np.array([3, 2]), np.array([b, d]), np.array([2, 3]))
                        expected += chance * math.exp(two_rates_log_evidence(*(t.astype(float) for t in told))[-1])
        assert expected <= 1 + 1e-9


def test_looking_every_hour_inflates_the_fixed_test_and_not_the_sequential_one():
    rng, num, hours = np.random.default_rng(2), 300, 100
    k_a, k_b = rng.binomial(300, 0.02, (num, hours)) * 1.0, rng.binomial(60, 0.02, (num, hours)) * 1.0
    n_a, n_b = np.full((num, hours), 300.0), np.full((num, hours), 60.0)
    sequential = always_valid_p_value(two_rates_log_evidence(k_a, n_a, k_b, n_b))
    fixed = np.array(
        [
            [
                proportion_test(count(int(a), 300 * (h + 1)), count(int(b), 60 * (h + 1)))[1]
                for h, (a, b) in enumerate(zip(np.cumsum(k_a[i]), np.cumsum(k_b[i]), strict=True))
            ]
            for i in range(num)
        ]
    )
    assert np.mean((sequential < 0.01).any(axis=1)) <= 0.01
    assert np.mean((fixed < 0.01).any(axis=1)) > 0.02


def test_a_doubled_rate_is_found():
    rng = np.random.default_rng(3)
    blocks = [
        Block(champion=count(rng.binomial(3000, 0.01), 3000), canary=count(rng.binomial(333, 0.02), 333))
        for _ in range(40)
    ]
    assert two_rates_p_value(blocks) < 0.01
    assert two_rates_p_value([]) == 1.0
    assert two_rates_p_value(blocks[:1]) > 0.001


def test_one_rate_is_shown_to_be_above_or_below_its_limit_or_neither():
    assert one_rate_p_value(count(60, 1000), 0.01, above=True) < 1e-6
    assert one_rate_p_value(count(0, 3000), 0.01, above=False) < 1e-6
    assert one_rate_p_value(count(0, 20), 0.01, above=False) > 0.05
    assert one_rate_p_value(count(0, 0), 0.01, above=True) == 1.0
    rng = np.random.default_rng(4)
    events = rng.binomial(20, 0.01, (500, 200)).astype(float)
    p_values = always_valid_p_value(one_rate_log_evidence(events, np.full(events.shape, 20.0), 0.01, above=True))
    assert np.mean((p_values < 0.05).any(axis=1)) <= 0.05 + 0.02


def hours(num, wafers=20, reject=0, review=1, **told):
    return [
        Hour(
            hour_ms=3_600_000 * number,
            num_wafers=wafers,
            num_wafers_reject=reject,
            num_wafers_review=review,
            num_inspections=200 * wafers,
            **told,
        )
        for number in range(num)
    ]


def test_a_canary_without_data_is_never_called_equal():
    for champion, canary in (([], []), (hours(100, reject=1), []), (hours(100, reject=1), hours(3, 2))):
        compared = compare_hours(champion, canary)
        assert {each.finding for each in compared.rates} == {Finding.NOT_ENOUGH_DATA}


def test_a_canary_differs_or_does_not_once_there_is_enough():
    options = CanaryOptions(ratio=2.0)
    champion = hours(168, 40, reject=2, review=4)
    same = compare_hours(champion, hours(168, 20, reject=1, review=2), options)
    assert same.of("REJECT").finding is Finding.NO_DIFFERENCE
    worse = compare_hours(champion, hours(168, 20, reject=4, review=2), options)
    assert worse.of("REJECT").finding is Finding.DIFFERS
    assert worse.of("REVIEW").finding is Finding.NO_DIFFERENCE
    assert worse.of("override").finding is Finding.NOT_ENOUGH_DATA
    assert worse.of("REJECT").as_dict()["needed"] > 0


def health(guardrails):
    return {each.name: each.health for each in guardrails}


def test_without_data_every_guardrail_says_so():
    nothing = Escapes(num_defective=0, num_passed=0)
    assert set(health(check_guardrails([], nothing, [])).values()) == {Health.NOT_ENOUGH_DATA}
    few = check_guardrails(hours(1, 1), Escapes(num_defective=5, num_passed=0), hours(1, 10))
    assert health(few)["escape rate"] is Health.NOT_ENOUGH_DATA
    assert breached(few) == []


@pytest.mark.parametrize(
    ("name", "told", "escapes"),
    [
        ("escape rate", {}, (1000, 25)),
        ("failures", {"num_failed": 200}, (0, 0)),
        ("latency", {"num_slow": 400}, (0, 0)),
        ("REJECT rate", {"reject": 8}, (0, 0)),
    ],
)
def test_each_guardrail_is_breached_by_what_it_is_for_and_by_nothing_else(name, told, escapes):
    found = check_guardrails(
        hours(48, **told), Escapes(num_defective=escapes[0], num_passed=escapes[1]), hours(48, 180, reject=9)
    )
    assert [each.name for each in breached(found)] == [name]
    assert found[0].as_dict()["limit"] == GuardrailOptions().max_escape_rate


def test_a_model_that_is_shown_to_keep_its_limits_is_fine():
    found = check_guardrails(hours(168), Escapes(num_defective=3000, num_passed=3), hours(168, 180))
    assert health(found)["escape rate"] is Health.FINE
    assert health(found)["failures"] is Health.FINE
    assert health(found)["latency"] is Health.FINE


def test_of_what_was_found_the_same_share_counts_as_of_what_passed():
    """5 % of PASS were audited, so each of 40 defects that did not pass counts as one twentieth."""
    sample = Escapes.from_audits(num_pass=10_000, num_audited=500, num_escaped=2, num_found=40)
    assert sample == Escapes(num_defective=4, num_passed=2)
    assert Escapes.from_audits(num_pass=0, num_audited=0, num_escaped=0, num_found=3).num_defective == 0


def test_a_sample_from_audits_keeps_the_error_of_the_guardrail():
    """Escapes at the limit, a tenth of PASS audited, looked at 40 times: rolled back in no more than 5 %."""
    rng, num, breaches = np.random.default_rng(6), 400, 0
    for _ in range(num):
        found, audited_escapes, is_breached = 0, 0, False
        for _ in range(40):
            escaped = rng.binomial(50, 0.01)
            found += 50 - escaped
            audited_escapes += rng.binomial(escaped, 0.1)
            sample = Escapes.from_audits(
                num_pass=10_000, num_audited=1_000, num_escaped=audited_escapes, num_found=found
            )
            is_breached |= "escape rate" in [each.name for each in breached(check_guardrails([], sample, []))]
        breaches += is_breached
    assert breaches / num <= 0.05 + 0.02


def test_latency_is_the_models_fault_only_where_the_other_is_quicker():
    nothing = Escapes(num_defective=0, num_passed=0)
    slow, quick = hours(24, num_slow=400), hours(24, 180)
    assert health(check_guardrails(slow, nothing, [], beside=quick))["latency"] is Health.BREACHED
    assert health(check_guardrails(slow, nothing, []))["latency"] is Health.BREACHED
    also_slow = hours(24, 180, num_slow=3_600)
    told = check_guardrails(slow, nothing, [], beside=also_slow)
    assert health(told)["latency"] is Health.NOT_ENOUGH_DATA
    assert told[2].as_dict()["beside"] == {"num_events": 24 * 3_600, "num_trials": 24 * 36_000}

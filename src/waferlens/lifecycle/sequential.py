"""Rates watched as they come: evidence that holds at every look, whenever one looks and whenever one stops.

*Two rates, are they equal?* (``TwoRates``) Blocks of n_a and n_b trials come one after the other. For fixed
rates (a, b),

    E(a, b) = product over blocks of  p_a(data A) p_b(data B) / p_o(all data),     o = (n_a a + n_b b) / (n_a +
    n_b),

p_r the Bernoulli likelihood, has expectation 1 at most under every common rate: by the inequality of the means,
since n_a and n_b times the factors' expectations add up to n_a + n_b (Turner, Ly and Grünwald, "Generic
E-variables for exact sequential k-sample tests that allow for optional stopping", J. Stat. Planning and
Inference 230, 2024, theorem 1). So has the mean of E over a grid of (a, b) that was fixed beforehand. By Ville's
inequality it ever reaches 1/alpha with probability alpha at most, so p = 1 / max E is a p-value at all looks
together. No normal approximation is made.

*One rate, is it above a limit?* (``OneRate``) The likelihood ratio of a rate above the limit to the limit
itself, averaged over a grid of such rates, is a supermartingale for every rate at or below the limit; the same
the other way round shows that a rate is below it.

Trials must be independent: images of one wafer are not, so wafers are counted where that matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, xlog1py, xlogy

from waferlens.errors import MetricError
from waferlens.lifecycle.proportions import Count

Floats = npt.NDArray[np.float64]
_RATES = np.geomspace(2e-4, 0.5, 28)
_RATIOS = np.array([0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.12, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0])
_ABOVE = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0])
_BELOW = np.array([0.8, 0.5, 0.2, 0.05, 0.0])


@dataclass(frozen=True, kw_only=True)
class Block:
    """What came between two looks: of the champion and of the canary."""

    champion: Count
    canary: Count


def two_rates_log_evidence(
    champion: Floats, champion_trials: Floats, canary: Floats, canary_trials: Floats
) -> Floats:
    """(..., T) log of the evidence against "equal rates" after each of T blocks of events and trials, (..., T)
    each.

    Raises MetricError for counts that contradict each other.
    """
    for events, trials in ((champion, champion_trials), (canary, canary_trials)):
        if (events < 0).any() or (events > trials).any():
            raise MetricError("the counts contradict each other", expected="0 <= events <= trials")
    a = np.repeat(_RATES, len(_RATIOS))
    b = a * np.tile(_RATIOS, len(_RATES))
    inside = (b > 5e-5) & (b < 0.98)
    a, b = a[inside], b[inside]
    total = np.zeros(champion.shape)
    sums = np.zeros((*champion.shape[:-1], len(a)))
    for step in range(champion.shape[-1]):
        k_a, n_a, k_b, n_b = (each[..., step, None] for each in (champion, champion_trials, canary, canary_trials))
        common = (n_a * a + n_b * b) / np.maximum(n_a + n_b, 1)
        common = np.where(n_a + n_b > 0, common, 0.5)
        sums = sums + _log_likelihood(k_a, n_a, a) + _log_likelihood(k_b, n_b, b)
        sums = sums - _log_likelihood(k_a + k_b, n_a + n_b, common)
        total[..., step] = logsumexp(sums, axis=-1) - np.log(len(a))
    return total


def one_rate_log_evidence(events: Floats, trials: Floats, limit: float, *, above: bool) -> Floats:
    """(..., T) log of the evidence that a rate is above (else below) ``limit`` after each of T blocks, (..., T).

    Raises MetricError when the limit is outside (0, 1).
    """
    if not 0 < limit < 1:
        raise MetricError("the limit of a rate", expected="in (0, 1)", found=str(limit))
    others = limit * (_ABOVE if above else _BELOW)
    others = others[others < 1]
    k, n = np.cumsum(events, axis=-1)[..., None], np.cumsum(trials, axis=-1)[..., None]
    ratios = _log_likelihood(k, n, others) - _log_likelihood(k, n, np.asarray(limit))
    found: Floats = logsumexp(ratios, axis=-1) - np.log(len(others))
    return found


def always_valid_p_value(log_evidence: Floats) -> Floats:
    """(..., T) the smallest p-value so far: it may be looked at, and acted on, at any time."""
    found: Floats = np.exp(np.minimum(0.0, -np.maximum.accumulate(log_evidence, axis=-1)))
    return found


def two_rates_p_value(blocks: Sequence[Block]) -> float:
    """The always-valid p-value of "champion and canary have one rate" after these blocks; 1 without any."""
    if not blocks:
        return 1.0
    counts = [
        np.asarray(row, dtype=np.float64)
        for row in zip(
            *(
                (
                    block.champion.num_events,
                    block.champion.num_trials,
                    block.canary.num_events,
                    block.canary.num_trials,
                )
                for block in blocks
            ),
            strict=True,
        )
    ]
    return float(always_valid_p_value(two_rates_log_evidence(*counts))[-1])


def one_rate_p_value(count: Count, limit: float, *, above: bool) -> float:
    """The p-value of "the rate is at most ``limit``" (above), or at least; valid at every look.

    The evidence now, not its highest so far: a count says nothing of earlier looks, and this errs on the safe
    side.
    """
    events, trials = (np.asarray([float(each)]) for each in (count.num_events, count.num_trials))
    return math.exp(min(0.0, -float(one_rate_log_evidence(events, trials, limit, above=above)[0])))


def _log_likelihood(events: Floats, trials: Floats, rate: Floats) -> Floats:
    found: Floats = xlogy(events, rate) + xlog1py(trials - events, -rate)
    return found

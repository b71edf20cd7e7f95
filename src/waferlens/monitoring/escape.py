"""How many defects escape at most: an upper bound from blind audits of PASS, valid whenever one looks.

PASS images fall into strata by their score. An image of stratum s is audited with a chance c_s that was fixed
before; among audited images, each is then worth x_s = (sum w c) / c_s escapes if it is one and 0 if not, w the
strata's shares of PASS, and the mean of that worth is the rate of escapes among all PASS images. Against "the rate
is at least theta" one bets

    E(theta) = sum over j of v_j  product over audits of (1 + f_j (theta - X) / (B - theta)),       B = max x_s

on audits that find nothing: a nonnegative supermartingale if the rate is theta or more, for every fraction f_j
in [0, 1], so by Ville's inequality it ever reaches 1/alpha with probability alpha at most (Waudby-Smith & Ramdas,
"Estimating means of bounded random variables by betting", 2024). The bound is the least theta at which it has:
it holds at all looks at once, for every distribution, whatever the guesses that the chances were planned with.

What strata can and cannot do: to show a rate far above the true one, nothing beats auditing all alike, three
divided by the rate without an escape; where the true rate comes near the bound, most of the uncertainty is of
the few escapes, and auditing densely where these are can save audits (``plan_chances``). Rates are of
PASS images; ``EscapeBound`` also gives the share of all defects. Knows no record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from waferlens.errors import MetricError, OptionsError

Floats = npt.NDArray[np.float64]

_FRACTIONS = np.array([0.98, 0.75, 0.5, 0.3, 0.15, 0.07])
_WEIGHTS = np.array([0.35, 0.15, 0.15, 0.15, 0.1, 0.1])
_BISECTIONS = 50
_FLATTENINGS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
"""Added to guessed rates, in targets, before chances are made of them: the last is nearly auditing all alike."""


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """PASS images of one range of scores.

    name: for people. num_images: that passed. num_audits: of these, settled by a blind audit. num_escapes: of
    these, found defective. chance: with which one of its images is audited; only the strata's ratios matter.
    """

    name: str
    num_images: int
    num_audits: int
    num_escapes: int
    chance: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.num_escapes <= self.num_audits or self.num_images < 0:
            raise MetricError(
                f"stratum {self.name}: the counts contradict each other",
                expected="0 <= escapes <= audits, images >= 0",
                found=f"{self.num_escapes} of {self.num_audits}, {self.num_images} images",
            )
        if not 0 < self.chance <= 1:
            raise OptionsError("chance of an audit", expected="above 0, at most 1", found=str(self.chance))


@dataclass(frozen=True, kw_only=True)
class EscapeBound:
    """rate_estimate, rate_bound: escapes of PASS images. false_negative_*: escapes of all defects.

    False negative figures are None where nothing defective is known. num_needed: audits more, made as before,
    until the bound reaches the target if they find escapes at the estimated rate; 0 when it has, None when no
    number would do.
    """

    confidence: float
    num_audits: int
    num_escapes: int
    rate_estimate: float
    rate_bound: float
    false_negative_estimate: float | None
    false_negative_bound: float | None
    target: float
    num_needed: int | None

    @property
    def reached(self) -> bool:
        """Whether the bound is at or below the target."""
        return self.false_negative_bound is not None and self.false_negative_bound <= self.target


def rate_bound(strata: Sequence[Stratum], confidence: float = 0.95) -> float:
    """The upper bound of escapes among PASS images, valid at every look at once.

    Raises MetricError without images, or for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise MetricError("the confidence is out of range", expected="in (0, 1)", found=str(confidence))
    num = float(sum(s.num_audits for s in strata))
    escapes = np.array([s.num_escapes for s in strata], dtype=np.float64)
    return _bound(_worths(strata), num, escapes, confidence)


def escape_bound(
    strata: Sequence[Stratum], *, num_found: int, target: float = 0.001, confidence: float = 0.95
) -> EscapeBound:
    """What is known of escapes. num_found: defective images that did not pass, as far as verdicts know.

    target: largest share of all defects that may escape. Raises MetricError, OptionsError as ``rate_bound`` does.
    """
    if not 0 < target < 1 or num_found < 0:
        raise OptionsError(
            "target of escapes, or defects found", expected="in (0, 1), >= 0", found=f"{target}, {num_found}"
        )
    bound, worths = rate_bound(strata, confidence), _worths(strata)
    num, num_pass = sum(s.num_audits for s in strata), sum(s.num_images for s in strata)
    escapes = np.array([s.num_escapes for s in strata], dtype=np.float64)
    estimate = float(worths @ escapes) / num if num else 0.0
    wanted = target / (1 - target) * num_found / num_pass
    return EscapeBound(
        confidence=confidence,
        num_audits=num,
        num_escapes=int(escapes.sum()),
        rate_estimate=estimate,
        rate_bound=bound,
        false_negative_estimate=_share(estimate, num_pass, num_found),
        false_negative_bound=_share(bound, num_pass, num_found),
        target=target,
        num_needed=0 if bound <= wanted else _needed(worths, num, escapes, wanted, confidence),
    )


def plan_chances(shares: Sequence[float], rates: Sequence[float], target: float) -> tuple[list[float], float]:
    """Relative chances of an audit by stratum, the largest 1, and how many audits they take to show ``target``.

    shares: of PASS images, summing to 1. rates: escapes of each stratum's images, as one guesses: right guesses
    save audits, wrong ones cost some, and neither touches whether the bound holds. The chances go with the square
    root of the rates (Neyman 1934), flattened as far as the bets then grow fastest.
    Raises OptionsError when the guessed rate reaches the target: no number of audits would show it.
    """
    w, p = np.asarray(shares, dtype=np.float64), np.asarray(rates, dtype=np.float64)
    if float(w @ p) >= target or (w <= 0).any() or (p < 0).any():
        raise OptionsError(
            "audits cannot be planned", expected=f"a guessed rate below {target:g}", found=f"{float(w @ p):g}"
        )
    # Alike comes first: another plan has to be better.
    best, fewest = np.ones_like(w), _audits_to_show(w, p, np.ones_like(w), target)
    for flattening in _FLATTENINGS:
        chances = np.sqrt(p + flattening * target)
        if (chances <= 0).any():
            continue
        num = _audits_to_show(w, p, chances / chances.max(), target)
        if num < fewest:
            best, fewest = chances / chances.max(), num
    return [float(chance) for chance in best], fewest


def _bound(worths: Floats, num: float, escapes: Floats, confidence: float) -> float:
    wanted, most = math.log(1 / (1 - confidence)), float(worths.max())
    low, high = 0.0, 1.0
    if _evidence(worths, num, escapes, min(1.0, most) * (1 - 1e-12)) < wanted:
        return 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        # E(theta) grows with theta: every factor does.
        if middle < most and _evidence(worths, num, escapes, middle) < wanted:
            low = middle
        else:
            high = middle
    return high


def _evidence(worths: Floats, num: float, escapes: Floats, theta: float) -> float:
    """log E(theta). worths, escapes: (S,); num: audits in all. Counts may be fractions, for planning."""
    scale = _FRACTIONS / (float(worths.max()) - theta)
    clean = (num - escapes.sum()) * np.log1p(scale * theta)
    found = escapes @ np.log1p(np.maximum(scale * (theta - worths[:, None]), -1 + 1e-12))
    logs = np.log(_WEIGHTS) + clean + found
    return float(np.logaddexp.reduce(logs))


def _audits_to_show(w: Floats, p: Floats, chances: Floats, theta: float) -> float:
    """Audits until the rate is shown to be below ``theta``, were escapes found exactly as often as guessed."""
    shares, worths = w * chances / (w @ chances), (w @ chances) / chances
    return _fewest(
        lambda num: _evidence(worths, num, num * shares * p, theta) >= math.log(20), most=1e12, apart=1e-12
    )


def _needed(worths: Floats, num: int, escapes: Floats, wanted: float, confidence: float) -> int | None:
    """Audits more until the bound is ``wanted``, escapes going on as estimated."""
    rates = escapes / max(num, 1)
    if wanted <= 0 or float(worths @ rates) >= wanted:
        return None

    def reached(more: float) -> bool:
        return _bound(worths, num + more, escapes + rates * more, confidence) <= wanted

    more = _fewest(reached, most=1e10, apart=0.002, whole=True)
    return None if math.isinf(more) else int(more)


def _fewest(reached: Callable[[float], bool], *, most: float, apart: float, whole: bool = False) -> float:
    """The least number from which on ``reached`` holds, to a share ``apart``; infinite where it is above ``most``.

    whole: of audits, else any. Steps halve a power of two, so what stands between whole numbers is whole.
    """
    low, high = 0.0, 64.0
    while not reached(high):
        low, high = high, 2 * high
        if high > most:
            return math.inf
    while high - low > max(float(whole), apart * high):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _worths(strata: Sequence[Stratum]) -> Floats:
    """(S,) escapes that one found in each stratum stands for, times the audits in all."""
    total = sum(s.num_images for s in strata)
    if total < 1:
        raise MetricError("a bound of escapes needs images that passed", expected="at least one", found="none")
    shares = np.array([s.num_images / total for s in strata])
    chances = np.array([s.chance for s in strata])
    return np.asarray(float(shares @ chances) / chances, dtype=np.float64)


def _share(rate: float, num_pass: int, num_found: int) -> float | None:
    escaped = rate * num_pass
    return None if escaped + num_found <= 0 else escaped / (escaped + num_found)

"""What a threshold from held-out normals promises of new normals, and between which bounds the promise holds.

The threshold is the k-th largest of n held-out scores; a *false alarm* is a new normal image above it. Nothing but
exchangeability is used, so all of this holds for every distribution of scores (order statistics; Wilks 1941,
Vovk, Gammerman & Shafer 2005). With continuous scores it is exact, ties only make false alarms rarer:

    the rate of one bundle                        ~ Beta(k, n + 1 - k), mean k / (n + 1)
    the false alarms among m new normal images    ~ BetaBinomial(m, k, n + 1 - k)

The second also holds for random halves of one pool, split by split. A plain Binomial(m, rate) would forget that
the threshold was drawn too. This module does not know the scores, only how many there are.
"""

from __future__ import annotations

import math

from scipy.stats import beta, betabinom

from waferlens.decision.intervals import clopper_pearson, upper_bound
from waferlens.errors import OptionsError


def num_left_above(rate: float, num_normals: int, confidence: float | None = None) -> int:
    """k: the k-th largest of ``num_normals`` scores is the threshold that promises ``rate``; 0: none of them does.

    confidence None: k / (n + 1) <= rate, the promise on average over bundles. Otherwise the promise holds for
    the very bundle with this confidence: P(Beta(k, n + 1 - k) <= rate) >= confidence.
    Raises OptionsError when rate or confidence is outside (0, 1).
    """
    _require_share("overkill rate", rate)
    most = min(num_normals, math.floor((num_normals + 1) * rate + 1e-9))
    if confidence is None:
        return most
    _require_share("confidence", confidence)
    while most > 0 and beta.cdf(rate, most, num_normals + 1 - most) < confidence:
        most -= 1
    return most


def overkill_interval(num_above: int, num_normals: int, confidence: float = 0.95) -> tuple[float, float]:
    """Between which rates one bundle's overkill lies, with this confidence over the draw of held-out normals.

    num_above: k of ``num_left_above``. Two-sided quantiles of Beta(k, n + 1 - k), which are Clopper and Pearson's
    lower end for k of n and upper end for k - 1 of n. With k = 0 the threshold lies at or above every score:
    (0, the one-sided bound for none of n).
    """
    if num_above == 0:
        return 0.0, upper_bound(0, num_normals, confidence)
    low, _ = clopper_pearson(num_above, num_normals, confidence)
    _, high = clopper_pearson(num_above - 1, num_normals, confidence)
    return low, high


def false_alarm_range(num_above: int, num_normals: int, num_new: int, confidence: float = 0.95) -> tuple[int, int]:
    """Fewest and most false alarms to expect among ``num_new`` new normals; both ends belong to the range.

    Central range of BetaBinomial(m, k, n + 1 - k). Outside it the new images are not what was held out, or the
    bundle is not what was promised. num_above: k >= 1 of ``num_left_above``.
    """
    tail = (1 - confidence) / 2
    counts = betabinom(num_new, num_above, num_normals + 1 - num_above)
    return int(counts.ppf(tail)), int(counts.ppf(1 - tail))


def _require_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise OptionsError(f"the {name} is out of range", expected="above 0, below 1", found=str(value))

"""Agreement of people beyond chance: Cohen's kappa of two, Fleiss' kappa of any number. Pure arithmetic.

Cohen    two raters, each with habits of their own (Educ. Psychol. Meas. 20, 1960). Its standard error is the
         large-sample one of Fleiss, Cohen and Everitt (Psychol. Bull. 72, 1969).
Fleiss   raters that may stand in for each other (Psychol. Bull. 76, 1971), here with any number of them a subject,
         weighted as Gwet does. Its standard error is the large-sample one of Gwet (Educ. Psychol. Meas. 81, 2021),
         for subjects drawn from more than there are.

Both intervals are asymptotic and cut at -1 and 1. Where all agree the standard error is 0 and says nothing: the
lower end then comes from the exact bound on the rate of agreement (Clopper and Pearson). Where it is 0 otherwise
there is no interval (NaN). Where chance alone would agree always, because only one category was used, kappa is not
defined; it says so, and no number stands in for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from waferlens.decision.intervals import exact_rate
from waferlens.errors import MetricError
from waferlens.records import Estimate

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NO_ROOM = 1e-12
"""Less room above chance than this is rounding."""

_NO_ERROR = 1e-6
"""Where one of two raters used one category, kappa is 0 whatever the other says and its error is rounding."""


@dataclass(frozen=True, kw_only=True)
class Kappa:
    """Agreement beyond chance: 1 complete, 0 as much as chance. why_undefined: empty where it is defined.

    num_subjects: images that at least two people judged. agreement: share of pairs of verdicts that agree, None
    without any; its interval is exact where two people judged each image, else NaN: such pairs hang together.
    """

    num_subjects: int
    estimate: Estimate | None
    agreement: Estimate | None
    why_undefined: str = ""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "num_subjects": self.num_subjects,
            "kappa": None if self.estimate is None else self.estimate.as_dict(),
            "agreement": None if self.agreement is None else self.agreement.as_dict(),
            "why_undefined": self.why_undefined or None,
        }


def cohens_kappa(table: Counts, confidence: float = 0.95) -> Kappa:
    """Of two raters. table: (K, K) subjects by category of the first and of the second.

    Raises MetricError unless it is a square of counts.
    """
    if table.ndim != 2 or table.shape[0] != table.shape[1] or (table < 0).any():
        raise MetricError("a table of two raters", expected="a square of counts", found=str(table.shape))
    n, num_agreeing = int(table.sum()), int(np.trace(table))
    if n == 0:
        return _undefined("no image was judged by both")
    agreement = exact_rate(num_agreeing, n, confidence)
    shares: Floats = table / n
    first, second = shares.sum(axis=1), shares.sum(axis=0)
    expected = float(first @ second)
    if 1 - expected < _NO_ROOM:
        return _undefined("both used one and the same category throughout", n, agreement)
    kappa = (agreement.value - expected) / (1 - expected)
    error = _cohens_error(shares, first, second, kappa, expected, n)
    complete = exact_rate(num_agreeing, n, confidence) if num_agreeing == n else None
    estimate = _interval(kappa, error, expected, complete, confidence)
    return Kappa(num_subjects=n, estimate=estimate, agreement=agreement)


def fleiss_kappa(table: Counts, confidence: float = 0.95) -> Kappa:
    """Of any number of raters. table: (N, K), how many put subject n into category k.

    Subjects that fewer than two people judged say nothing and are left out. Raises MetricError unless it is a
    table of counts.
    """
    if table.ndim != 2 or (table < 0).any():
        raise MetricError("a table of subjects", expected="rows of counts by category", found=str(table.shape))
    rated = table[table.sum(axis=1) >= 2].astype(np.float64)
    n = len(rated)
    if n == 0:
        return _undefined("no image was judged by two people")
    raters = rated.sum(axis=1)
    agreeing = (rated * (rated - 1)).sum(axis=1) / (raters * (raters - 1))
    num_agreeing = int((agreeing > 1 - _NO_ROOM).sum())
    in_pairs = bool((raters == 2).all())
    agreement = exact_rate(num_agreeing, n, confidence) if in_pairs else _bare(float(agreeing.mean()))
    shares = (rated / raters[:, None]).mean(axis=0)
    expected = float((shares**2).sum())
    if 1 - expected < _NO_ROOM:
        return _undefined("all used one and the same category throughout", n, agreement)
    kappa = (float(agreeing.mean()) - expected) / (1 - expected)
    complete = exact_rate(n, n, confidence) if num_agreeing == n else None
    error = _gwets_error(agreeing, (rated / raters[:, None]) @ shares, kappa, expected)
    estimate = _interval(kappa, error, expected, complete, confidence)
    return Kappa(num_subjects=n, estimate=estimate, agreement=agreement)


def _cohens_error(shares: Floats, first: Floats, second: Floats, kappa: float, expected: float, n: int) -> float:
    """Fleiss, Cohen and Everitt (1969), equation 13."""
    both = first + second
    diagonal = np.diag(shares)
    a = float((diagonal * (1 - both * (1 - kappa)) ** 2).sum())
    off = shares - np.diag(diagonal)
    b = (1 - kappa) ** 2 * float((off * (first[None, :] + second[:, None]) ** 2).sum())
    c = (kappa - expected * (1 - kappa)) ** 2
    return math.sqrt(max(0.0, a + b - c) / n) / (1 - expected)


def _gwets_error(agreeing: Floats, chance: Floats, kappa: float, expected: float) -> float:
    """Gwet (2021): from what each subject contributes, (N,). NaN for a single subject."""
    n = len(agreeing)
    if n < 2:
        return float("nan")
    single = (agreeing - expected - 2 * (1 - kappa) * (chance - expected)) / (1 - expected)
    return math.sqrt(float(((single - kappa) ** 2).sum()) / (n * (n - 1)))


def _interval(
    kappa: float, error: float, expected: float, complete: Estimate | None, confidence: float
) -> Estimate:
    """complete: the rate of agreement where all agree."""
    if complete is not None:
        low, high = (complete.low - expected) / (1 - expected), 1.0
    elif error < _NO_ERROR:
        return _bare(kappa)
    else:
        reach = float(norm.ppf((1 + confidence) / 2)) * error
        low, high = kappa - reach, kappa + reach
    return Estimate(value=kappa, low=float(np.maximum(-1.0, low)), high=float(np.minimum(1.0, high)))


def _bare(value: float) -> Estimate:
    return Estimate(value=value, low=float("nan"), high=float("nan"))


def _undefined(why: str, n: int = 0, agreement: Estimate | None = None) -> Kappa:
    return Kappa(num_subjects=n, estimate=None, agreement=agreement, why_undefined=why)

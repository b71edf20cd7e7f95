"""The weekly test: this week's PASS scores against the reference. Scipy only; knows no record.

At half a million scores a week every trifle is significant, so an alarm needs a small p AND a large effect, the
Kolmogorov-Smirnov distance D (the largest difference of the two shares below a score).

Images of one wafer are alike, so n of them say less than n: p is computed for the number of independent ones that
would say as much, n / (1 + (m - 1) r), m images a wafer and r the share of the variance that lies between wafers
(the design effect, Kish 1965).

One test for each product and station. Holm (1979) keeps the chance of *any* false alarm a week at alpha whatever
the tests depend on; Benjamini and Hochberg would bound the share of false ones among the alarms, which lets their
number grow with the streams, and a person is woken by each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from scipy.stats import kstwobign

from waferlens.errors import DataError

Floats = npt.NDArray[np.float64]


class WeeklyOptions(BaseModel, frozen=True, extra="forbid"):
    """When a difference is an alarm."""

    alpha: float = Field(0.01, gt=0, lt=0.5, description="chance of any false alarm in one week's tests")
    effect: float = Field(0.15, ge=0, lt=1, description="least KS distance D that matters")
    least_images: int = Field(50, ge=5, description="PASS images that a week's test needs")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One week of one stream. distance: D. num_effective: independent images that would say as much."""

    name: str
    distance: float
    p_value: float
    adjusted_p: float
    num_images: int
    num_effective: float
    alarm: bool


def compare_weeks(
    weeks: dict[str, tuple[Floats, npt.NDArray[np.intp]]],
    reference: Floats,
    options: WeeklyOptions | None = None,
    below: float = math.inf,
    reference_groups: npt.NDArray[np.intp] | None = None,
) -> list[Compared]:
    """Every stream's week against the reference. weeks: name to (PASS scores (n,), number of each one's wafer
    (n,)).

    below: where PASS ends; the reference is cut there too, or its own reviewed tail would look like a shift.
    reference_groups: (r,) number of the wafer of each reference score; held-out normals come from few wafers.
    Raises DataError when the reference is empty below it.
    """
    options = options or WeeklyOptions()
    kept = reference < below
    normal = np.sort(reference[kept])
    if not len(normal):
        raise DataError("the reference holds no score that passes", expected="at least one", found="none")
    measured = []
    for name, (scores, wafers) in sorted(weeks.items()):
        if len(scores) < options.least_images:
            continue
        distance, effective = ks_distance(scores, normal), effective_size(scores, wafers)
        num_reference = float(len(normal))
        if reference_groups is not None:  # a handful of held-out wafers cannot tell how alike images of one are
            alike = intraclass_correlation(scores, wafers)
            num_reference = effective_size(reference[kept], reference_groups[kept], alike)
        measured.append((name, distance, _p_value(distance, effective, num_reference), len(scores), effective))
    adjusted = holm([each[2] for each in measured])
    return [
        Compared(
            name=name,
            distance=distance,
            p_value=p_value,
            adjusted_p=corrected,
            num_images=num,
            num_effective=effective,
            alarm=corrected < options.alpha and distance >= options.effect,
        )
        for (name, distance, p_value, num, effective), corrected in zip(measured, adjusted, strict=True)
    ]


def ks_distance(scores: Floats, reference: Floats) -> float:
    """The largest difference between the two empirical distribution functions."""
    ordered, normal = np.sort(scores), np.sort(reference)
    both = np.concatenate([ordered, normal])
    below = np.searchsorted(ordered, both, side="right") / len(ordered)
    wanted = np.searchsorted(normal, both, side="right") / len(normal)
    return float(np.abs(below - wanted).max())


def effective_size(values: Floats, groups: npt.NDArray[np.intp], least_correlation: float = 0.0) -> float:
    """How many independent values would say as much as these, given that those of a group are alike.

    least_correlation: where few groups cannot tell it, that of others like them.
    """
    _, sizes = np.unique(groups, return_counts=True)
    if len(sizes) < 2:
        return 1.0
    correlation = max(least_correlation, intraclass_correlation(values, groups))
    return max(float(len(values) / (1 + (float((sizes**2).sum()) / len(values) - 1) * correlation)), 1.0)


def intraclass_correlation(values: Floats, groups: npt.NDArray[np.intp]) -> float:
    """The share of the variance that lies between groups, by a one-way analysis of variance; a negative one is 0.

    1 where no group has two values.
    """
    n = len(values)
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    num_groups = len(sizes)
    if num_groups < 2 or n <= num_groups:
        return 1.0
    means = np.bincount(index, values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (num_groups - 1)
    within = float(((values - means[index]) ** 2).sum()) / (n - num_groups)
    size = (n - float((sizes**2).sum()) / n) / (num_groups - 1)
    whole = between + (size - 1) * within
    return max(0.0, (between - within) / whole) if whole > 0 else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    order = np.argsort(p_values)
    adjusted, worst = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return [float(value) for value in adjusted]


def _p_value(distance: float, num: float, num_reference: float) -> float:
    """The limiting law with Stephens' correction (1970), good from a handful of values on."""
    size = math.sqrt(num * num_reference / (num + num_reference))
    return float(kstwobign.sf((size + 0.12 + 0.11 / size) * distance))

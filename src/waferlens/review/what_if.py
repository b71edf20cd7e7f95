"""What another REVIEW band would have made of images that are already inspected. Pure counting.

Scores are taken as they were; an image without a score stays in REVIEW whatever the band. Where people settled
images, the counts say what the other band would have done to those: defects that would have passed, normal images
that would not. They are few and not drawn at random (people see what the model doubts), so they bound nothing by
themselves: the rates of everything else stay unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from waferlens.decision.intervals import exact_rate
from waferlens.errors import OptionsError
from waferlens.records import DecisionKind, Estimate

_ORDER = (DecisionKind.PASS, DecisionKind.REVIEW, DecisionKind.REJECT)


@dataclass(frozen=True, kw_only=True)
class Band:
    """PASS < review <= REVIEW < reject <= REJECT. Raises OptionsError when it is upside down."""

    review: float
    reject: float

    def __post_init__(self) -> None:
        if not self.review <= self.reject:
            found = f"{self.review} and {self.reject}"
            raise OptionsError("the band is upside down", expected="REVIEW begins before REJECT", found=found)


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """Counts of the same images under two bands.

    moved: (decision before, decision after) to images; those that did not move are in it too.
    num_unscored: images without a score; they are REVIEW under both and in no other count.
    normal, defective: settled images by what the other band says.
    """

    num_scored: int
    num_unscored: int
    moved: Mapping[tuple[DecisionKind, DecisionKind], int]
    normal: Mapping[DecisionKind, int]
    defective: Mapping[DecisionKind, int]

    def before(self, kind: DecisionKind) -> int:
        """Scored images of that decision under the band that holds."""
        return sum(num for (was, _), num in self.moved.items() if was is kind)

    def after(self, kind: DecisionKind) -> int:
        """Scored images of that decision under the other band."""
        return sum(num for (_, would), num in self.moved.items() if would is kind)

    def rate_before(self, kind: DecisionKind) -> Estimate | None:
        """Share of the scored images; None without any."""
        return _rate(self.before(kind), self.num_scored)

    def rate_after(self, kind: DecisionKind) -> Estimate | None:
        """Share of the scored images; None without any."""
        return _rate(self.after(kind), self.num_scored)


def what_if(scores: npt.NDArray[np.float64], settled: npt.NDArray[np.int8], before: Band, after: Band) -> WhatIf:
    """Count the images under both bands.

    scores: (n,), NaN where nothing was inferred. settled: (n,), 1 a defect, 0 normal, -1 nobody settled it.
    """
    scored = np.isfinite(scores)
    known, said = scores[scored], settled[scored]
    was, would = _decided(known, before), _decided(known, after)
    table = np.bincount(3 * was + would, minlength=9).reshape(3, 3)
    normal, defective = (np.bincount(would[said == label], minlength=3) for label in (0, 1))
    return WhatIf(
        num_scored=int(scored.sum()),
        num_unscored=int((~scored).sum()),
        moved={(_ORDER[i], _ORDER[j]): int(table[i, j]) for i in range(3) for j in range(3)},
        normal=dict(zip(_ORDER, map(int, normal), strict=True)),
        defective=dict(zip(_ORDER, map(int, defective), strict=True)),
    )


def _decided(scores: npt.NDArray[np.float64], band: Band) -> npt.NDArray[np.int64]:
    """0 PASS, 1 REVIEW, 2 REJECT, as ``decision.decide`` has it."""
    decided: npt.NDArray[np.int64] = (scores >= band.review).astype(np.int64) + (scores >= band.reject)
    return decided


def _rate(count: int, num: int) -> Estimate | None:
    return exact_rate(count, num) if num else None

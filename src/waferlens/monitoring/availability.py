"""Was the service there when images came? From the record alone: it was not, in a minute in which images came
and fewer than half were inferred for the service's own fault, nor in a gap that ends with images that were sent
again.

What nobody sent leaves no trace, so availability is of minutes in which the line asked. A line that is silent for
longer than it ever was while it ran is shown as a silence, for a person to judge. Knows no record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from waferlens.decision.intervals import clopper_pearson


@dataclass(frozen=True, kw_only=True)
class Availability:
    """share: of busy minutes that were good, with its interval. silences: (first minute, minutes) without an image
    that lasted longer than ``longest_pause_minutes``."""

    num_minutes: int
    num_bad: int
    share: float
    low: float
    high: float
    target: float
    silences: tuple[tuple[int, int], ...]

    @property
    def met(self) -> bool:
        """Whether the target was met."""
        return self.share >= self.target

    @property
    def allowed_bad_minutes(self) -> int:
        """Bad minutes that the target leaves to so many busy ones."""
        return int((1 - self.target) * self.num_minutes + 1e-9)


def availability(
    minutes: Sequence[tuple[int, int, int]], *, target: float = 0.999, longest_pause_minutes: int = 30
) -> Availability | None:
    """From (minute, inspections, of these failed) of the minutes with images, oldest first; None without any."""
    if not minutes:
        return None
    bad = sum(2 * failed > num for _, num, failed in minutes)
    low, high = clopper_pearson(len(minutes) - bad, len(minutes))
    silences = tuple(
        (before[0] + 1, after[0] - before[0] - 1)
        for before, after in pairwise(minutes)
        if after[0] - before[0] - 1 > longest_pause_minutes
    )
    return Availability(
        num_minutes=len(minutes),
        num_bad=bad,
        share=1 - bad / len(minutes),
        low=low,
        high=high,
        target=target,
        silences=silences,
    )

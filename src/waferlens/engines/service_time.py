"""How long a batch takes here, learned from every batch that ran. Knows no engine and no clock.

Mean and deviation are smoothed as TCP smooths its round trips (RFC 6298: gains 1/8 and 1/4); an expectation is the
mean and two deviations, so that a promise made from it is seldom broken.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

_MEAN_GAIN = 1 / 8
_DEVIATION_GAIN = 1 / 4
_DEVIATIONS = 2.0


class ServiceTimes:
    """Seconds of a batch by its size. Empty at first: nothing is expected to take any time."""

    def __init__(self) -> None:
        self._mean: dict[int, float] = {}
        self._deviation: dict[int, float] = {}
        self._fastest: dict[int, float] = {}

    def learn(self, batch: int, seconds: float) -> None:
        """One batch of this size took so long."""
        if batch not in self._mean:
            self._mean[batch], self._deviation[batch], self._fastest[batch] = seconds, 0.0, seconds
            return
        off = seconds - self._mean[batch]
        self._deviation[batch] += _DEVIATION_GAIN * (abs(off) - self._deviation[batch])
        self._mean[batch] += _MEAN_GAIN * off
        self._fastest[batch] = min(self._fastest[batch], seconds)

    def expected(self, batch: int) -> float:
        """Seconds that such a batch should be done in; a size never seen costs in proportion to its images."""
        if not self._mean:
            return 0.0
        known = batch if batch in self._mean else min(self._mean, key=lambda size: (abs(size - batch), size))
        return (self._mean[known] + _DEVIATIONS * self._deviation[known]) * max(1.0, batch / known)

    def fastest(self) -> float:
        """Seconds of the fastest single image ever: nobody can promise less."""
        return self._fastest.get(1, 0.0)


def expected_end(
    times: ServiceTimes, now: float, free_at: Sequence[float], num_waiting: int, max_batch: int
) -> float:
    """When the last of ``num_waiting`` images would be done, shared out first come first served.

    free_at: when each working worker should be free (a time before now means now); at least one.
    """
    free = [max(now, at) for at in free_at]
    heapq.heapify(free)
    end = now
    while num_waiting > 0:
        batch = min(max_batch, num_waiting)
        num_waiting -= batch
        start = heapq.heappop(free)
        end = start + times.expected(batch)
        heapq.heappush(free, end)
    return end

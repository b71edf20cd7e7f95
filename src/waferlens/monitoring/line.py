"""The line now, counted from the record: decisions by hour and product, times against the budget, what went wrong.

Every rate is of the inspections of its period, with its exact interval (Clopper and Pearson).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from waferlens.decision.intervals import exact_rate
from waferlens.records import DecisionKind, Estimate
from waferlens.storage.alarms import StoredAlarm, alarms_of
from waferlens.storage.database import Database
from waferlens.storage.inspections import recent_wafers
from waferlens.storage.overview import (
    PointLine,
    ProductHour,
    counts_by_product,
    failures_since,
    latest_timings,
    points_of_wafers,
)
from waferlens.storage.stored import HOUR_MS, clock_ms

BUDGET_MS = 50.0
"""The case study's, from the image's arrival to its answer."""

NUM_HOURS = 12
_TIMED, _LAST, _NUM_WAFERS = 1000, 6000, 12
_FRESH_SECONDS = 2.0
_ENDED_FRESH_SECONDS = 30.0
"""Hours that have ended hardly change: only what waited in the journal comes to them."""

_NUM_ALARMS = 20


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Decisions counted."""

    counts: Mapping[DecisionKind, int]

    @property
    def num(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    def rate(self, kind: DecisionKind) -> Estimate | None:
        """The share of one decision; None without inspections."""
        return exact_rate(self.counts.get(kind, 0), self.num) if self.num else None


@dataclass(frozen=True, kw_only=True)
class Latency:
    """From an image's arrival to its decision, of the last so many inferred images. None without any."""

    num: int
    p50_ms: float | None
    p99_ms: float | None
    num_late: int


@dataclass(frozen=True, kw_only=True)
class LineNow:
    """One look at the line. hours: oldest first, each is there. failures: of the last hour. alarms: open ones."""

    taken_ms: int
    hours: Sequence[tuple[int, Tally]]
    products: Mapping[str, Tally]
    last_hour: Tally
    latency: Latency
    failures: Sequence[tuple[str, int, str]]
    alarms: Sequence[StoredAlarm]
    wafers: Mapping[str, Sequence[PointLine]]


class LineWatch:
    """Looks at the record, at most once in two seconds however many screens ask."""

    def __init__(self, database: Database, now_ms: Callable[[], int] = clock_ms) -> None:
        self._database, self._now_ms = database, now_ms
        self._looking = threading.Lock()
        self._seen: tuple[float, LineNow] | None = None
        self._ended: tuple[float, int, list[ProductHour]] | None = None

    def now(self) -> LineNow:
        """The line, not older than two seconds. Raises DatabaseLost."""
        with self._looking:
            if self._seen is None or time.monotonic() - self._seen[0] > _FRESH_SECONDS:
                seen = self._look()
                self._seen = time.monotonic(), seen
            return self._seen[1]

    def _look(self) -> LineNow:
        now_ms = self._now_ms()
        first_hour = (now_ms // HOUR_MS - NUM_HOURS + 1) * HOUR_MS
        with self._database.reading() as connection:
            counted = self._count_hours(connection, first_hour, now_ms)
            last = counts_by_product(connection, since_ms=now_ms - HOUR_MS, until_ms=now_ms + 1)
            timings = latest_timings(connection, limit=_TIMED)
            failures = failures_since(connection, now_ms - HOUR_MS)
            alarms = alarms_of(connection, only_open=True, limit=_NUM_ALARMS)
            wafers = [found[0] for found in recent_wafers(connection, num_inspections=_LAST)[:_NUM_WAFERS]]
            points = points_of_wafers(connection, wafers)
        hours = [first_hour + number * HOUR_MS for number in range(NUM_HOURS)]
        return LineNow(
            taken_ms=now_ms,
            hours=[(hour, _tally(each for each in counted if each.hour_ms == hour)) for hour in hours],
            products={
                name: _tally(each for each in counted if each.product == name)
                for name in sorted({each.product for each in counted})
            },
            last_hour=_tally(last),
            latency=_latency(timings),
            failures=failures,
            alarms=alarms,
            wafers={wafer: points[wafer] for wafer in wafers if wafer in points},
        )

    def _count_hours(self, connection: Connection, first_hour: int, now_ms: int) -> list[ProductHour]:
        this_hour = now_ms // HOUR_MS * HOUR_MS
        ended = self._ended
        if ended is None or ended[1] != this_hour or time.monotonic() - ended[0] > _ENDED_FRESH_SECONDS:
            counted = counts_by_product(connection, since_ms=first_hour, until_ms=this_hour)
            ended = self._ended = time.monotonic(), this_hour, counted
        return ended[2] + counts_by_product(connection, since_ms=this_hour, until_ms=now_ms + 1)


def _tally(counted: Iterable[ProductHour]) -> Tally:
    counts = dict.fromkeys(DecisionKind, 0)
    for each in counted:
        counts[each.decision] += each.num_inspections
    return Tally(counts=counts)


def _latency(timings: Sequence[Mapping[str, float]]) -> Latency:
    if not timings:
        return Latency(num=0, p50_ms=None, p99_ms=None, num_late=0)
    took = np.asarray([sum(stages.values()) for stages in timings])
    p50, p99 = np.quantile(took, (0.5, 0.99))
    return Latency(num=len(took), p50_ms=float(p50), p99_ms=float(p99), num_late=int((took > BUDGET_MS).sum()))

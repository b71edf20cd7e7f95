"""Drift as it comes: every station with every product, every statistic, wafer by wafer; and what moved.

The streams' CUSUMs are set so that *all of them together* alarm falsely once in a stated number of quarters.
What one cause sets off is one drift, however many streams see it: it stays open while they go on, and is told
once.

Knows wafer rows, no record. A stream learns its own baseline from its first groups of wafers; until then it is
silent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, Field

from waferlens.errors import DataError
from waferlens.monitoring.cause import Cause, CellShift, Scope, covers, find_cause
from waferlens.monitoring.sequential import Baseline, CusumOptions, group_ends, group_means, normal_scores, watch
from waferlens.monitoring.wafer_rows import Statistic, WaferRows
from waferlens.storage.stored import DAY_MS


class DriftOptions(BaseModel, frozen=True, extra="forbid"):
    """How closely drift is watched. A group is so many consecutive wafers of one station and product."""

    wafers_per_group: int = Field(10, ge=1, le=200, description="consecutive wafers whose mean is one value")
    baseline_groups: int = Field(
        60, ge=8, description="first groups of a stream, which its baseline is learned from"
    )
    wafers_per_quarter: int = Field(36_000, ge=100, description="that the whole line inspects")
    false_alarms_per_quarter: float = Field(
        0.005, gt=0, le=10, description="of all streams, were baselines known exactly; learned, ten times more"
    )
    slack: float = Field(1.5, gt=0, le=3, description="half of the shift that is found soonest, deviations")
    open_days: float = Field(3.0, gt=0, description="a drift is over when no stream has alarmed for so long")

    def run_length(self) -> float:
        """Values between two false alarms of one stream; the number of streams does not matter, wafers do.

        Each wafer is in one group of one cell, and that gives one value a statistic.
        """
        values = self.wafers_per_quarter / self.wafers_per_group * len(Statistic)
        return max(values / self.false_alarms_per_quarter, 20.0)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One thing that moved.

    raised_ms: when the first stream alarmed; onset_ms: from when on its values lay apart; last_ms: of the last
    alarm. statistics: that alarmed, the first one first; cells: (station, product) that did. shift: of the
    first, in its own unit (a log ratio for brightness and error, the score's unit for the score).
    """

    cause: Cause
    statistics: tuple[Statistic, ...]
    cells: tuple[tuple[str, str], ...]
    raised_ms: int
    onset_ms: int
    last_ms: int
    shift: float

    def told(self) -> str:
        """For people: what moved, where, by how much."""
        more = f" (also {', '.join(self.statistics[1:])})" if len(self.statistics) > 1 else ""
        return f"{self.where()}: {self.amount()}{more}"

    def where(self) -> str:
        """The cause in words."""
        if self.cause.scope is Scope.ALL:
            return "every station and product"
        return f"{self.cause.scope} {self.cause.name}"

    def amount(self) -> str:
        """The statistic that alarmed first, and how far it moved."""
        first = self.statistics[0]
        relative = first in (Statistic.BRIGHTNESS, Statistic.ERROR)
        return f"{first} " + (f"{100 * float(np.expm1(self.shift)):+.1f} %" if relative else f"{self.shift:+.2f}")


@dataclass(frozen=True)
class _Signal:
    """A stream's alarm."""

    raised_ms: int
    onset_ms: int
    statistic: Statistic
    station: str
    product: str


def watch_drift(rows: WaferRows, options: DriftOptions | None = None) -> list[Drift]:
    """Every drift that these wafers show, in the order in which it was raised."""
    options = options or DriftOptions()
    cells = {cell: rows.take(_of_cell(rows, *cell)) for cell in _cells(rows)}
    drifts: list[Drift] = []
    for signal in sorted(_signals(cells, options), key=lambda each: (each.raised_ms, each.statistic)):
        index = _open_drift(drifts, signal, cells, options)
        if index is None:
            drifts.append(_new_drift(signal, find_cause(_shifts(cells, signal, options))))
        else:
            drifts[index] = _gone_on(drifts[index], signal)
    return drifts


def _new_drift(signal: _Signal, cause: Cause) -> Drift:
    return Drift(
        cause=cause,
        statistics=(signal.statistic,),
        cells=((signal.station, signal.product),),
        raised_ms=signal.raised_ms,
        onset_ms=signal.onset_ms,
        last_ms=signal.raised_ms,
        shift=cause.shift,
    )


def _gone_on(drift: Drift, signal: _Signal) -> Drift:
    statistics = dict.fromkeys((*drift.statistics, signal.statistic))
    cells = dict.fromkeys((*drift.cells, (signal.station, signal.product)))
    return replace(drift, statistics=tuple(statistics), cells=tuple(cells), last_ms=signal.raised_ms)


def stream_names(rows: WaferRows) -> list[tuple[str, str]]:
    """(station, product) of every cell."""
    return _cells(rows)


def _cells(rows: WaferRows) -> list[tuple[str, str]]:
    return sorted({(str(s), str(p)) for s, p in zip(rows.station, rows.product, strict=True)})


def _of_cell(rows: WaferRows, station: str, product: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray((rows.station == station) & (rows.product == product))


def _signals(cells: dict[tuple[str, str], WaferRows], options: DriftOptions) -> Iterator[_Signal]:
    cusum = CusumOptions(slack=options.slack, run_length=options.run_length())
    for (station, product), rows in cells.items():
        for column, statistic in enumerate(Statistic):
            known = np.isfinite(rows.values[:, column])
            num_baseline = options.wafers_per_group * options.baseline_groups
            scores = normal_scores(rows.values[known, column], num_baseline)
            means = group_means(scores, options.wafers_per_group)
            ends = group_ends(rows.at_ms[known], options.wafers_per_group)
            first = options.baseline_groups
            if len(means) <= first:
                continue
            try:
                baseline = Baseline.learn(means[:first])
            except DataError:  # a statistic that never varies cannot be watched, and says nothing
                continue
            for found in watch(means[first:], baseline, cusum):
                raised, onset = ends[first + found.index], ends[first + found.onset - 1]
                yield _Signal(int(raised), int(onset), statistic, station, product)


def _open_drift(
    drifts: list[Drift], signal: _Signal, cells: dict[tuple[str, str], WaferRows], options: DriftOptions
) -> int | None:
    """The drift that this signal belongs to. It may change the cause to one that covers every cell so far."""
    for index in range(len(drifts) - 1, -1, -1):
        drift = drifts[index]
        if signal.raised_ms - drift.last_ms > options.open_days * DAY_MS:
            continue
        same = signal.statistic in drift.statistics
        # What moved everywhere explains only itself: a lamp may fail while the process drifts.
        if covers(drift.cause, signal.station, signal.product) and (same or drift.cause.scope is not Scope.ALL):
            return index
        cause = find_cause(_shifts(cells, signal, options))
        alarmed = (*drift.cells, (signal.station, signal.product))
        if same and all(covers(cause, *cell) for cell in alarmed):
            drifts[index] = replace(drift, cause=cause, shift=cause.shift)
            return index
    return None


def _shifts(cells: dict[tuple[str, str], WaferRows], signal: _Signal, options: DriftOptions) -> list[CellShift]:
    """What every cell did of late, against its own baseline; cells that cannot tell are left out.

    Of late is the second half of the time since the onset: the group that began to lie apart may have begun
    before.
    """
    since_ms = (signal.onset_ms + signal.raised_ms) // 2
    column = list(Statistic).index(signal.statistic)
    num_baseline = options.wafers_per_group * options.baseline_groups
    found = []
    for (station, product), rows in cells.items():
        values = rows.values[:, column]
        normal = values[:num_baseline][np.isfinite(values[:num_baseline])]
        during = values[(rows.at_ms > since_ms) & (rows.at_ms <= signal.raised_ms)]
        during = during[np.isfinite(during)]
        if len(normal) < 2 * options.wafers_per_group or not len(during) or np.std(normal) == 0:
            continue
        error = float(np.std(normal, ddof=1)) * float(np.sqrt(1 / len(during) + 1 / len(normal)))
        found.append(CellShift(station, product, float(during.mean() - normal.mean()), error))
    return found

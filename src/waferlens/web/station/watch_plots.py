"""Plots of the watch as shapes to draw: every stream of a statistic over time, in deviations of its baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from waferlens.web.station.writing import clock, moment, number

WIDTH, HEIGHT = 860.0, 190.0
_LEAST_SPAN = 3.0
"""Deviations up and down that are always seen: what moves by less is noise, and should look so."""
_STYLES = 6
"""Lines of different colour and dashes; the seventh begins again."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One stream. path: through its means; style: 0 to 5; last: where it is now, in deviations."""

    name: str
    path: str
    style: int
    last: float


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One statistic. ticks: (y, label); marks: (x, label) of time; alarms: x; since: x until which levels were
    learned; zero: y of no change."""

    statistic: str
    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]
    marks: Sequence[tuple[float, str]]
    alarms: Sequence[float]
    since: float
    zero: float

    @property
    def words(self) -> str:
        """For who does not see it."""
        now = ", ".join(f"{line.name} {number(line.last, 1)}" for line in self.lines)
        return (
            f"{self.statistic} over time, in deviations of the baseline; last: {now}; alarms: {len(self.alarms)}"
        )


def drift_plots(series: Mapping[str, Any], drifts: Sequence[tuple[int, Sequence[str]]]) -> list[Plot]:
    """A plot for each statistic of a run of ``monitor drift``. drifts: (raised_ms, statistics)."""
    lines: list[dict[str, Any]] = series["lines"]
    names = sorted({_name(line) for line in lines})
    return [
        _plot(statistic, series, [each for each in lines if each["statistic"] == statistic], names, drifts)
        for statistic in dict.fromkeys(line["statistic"] for line in lines)
    ]


def _plot(
    statistic: str,
    series: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    drifts: Sequence[tuple[int, Sequence[str]]],
) -> Plot:
    begin, end, num = (int(series[name]) for name in ("begin_ms", "end_ms", "num_bins"))
    values = [float(mean) for line in lines for _, mean in line["means"]]
    low, high = min(-_LEAST_SPAN, *values), max(_LEAST_SPAN, *values)

    def x_of(at_ms: float) -> float:
        return round(WIDTH * min(1.0, max(0.0, (at_ms - begin) / (end - begin))), 1)

    def y_of(value: float) -> float:
        return round(HEIGHT * (high - value) / (high - low), 1)

    def drawn(line: Mapping[str, Any]) -> Line:
        points = [(round(WIDTH * (place + 0.5) / num, 1), y_of(mean)) for place, mean in line["means"]]
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        name = _name(line)
        return Line(name=name, path=path, style=names.index(name) % _STYLES, last=line["means"][-1][1])

    step = max(1, round((high - low) / 6))
    return Plot(
        statistic=statistic,
        lines=[drawn(line) for line in sorted(lines, key=_name)],
        ticks=[(y_of(v), number(float(v), 0)) for v in range(int(low), int(high) + 1) if v % step == 0],
        marks=[_mark(x_of, begin + part * (end - begin) / 4, end - begin) for part in range(5)],
        alarms=[x_of(raised_ms) for raised_ms, statistics in drifts if statistic in statistics],
        since=x_of(series["since_ms"]),
        zero=y_of(0.0),
    )


def _mark(x_of: Callable[[float], float], at_ms: float, span_ms: int) -> tuple[float, str]:
    told = clock(round(at_ms)) if span_ms < 2 * 86_400_000 else moment(round(at_ms))[5:16]
    return x_of(at_ms), told


def _name(line: Mapping[str, Any]) -> str:
    return f"{line['station']}, {line['product']}"

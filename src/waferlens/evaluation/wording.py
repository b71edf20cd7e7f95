"""Numbers as a reader sees them: the one place that decides on digits, per cent signs and brackets."""

from __future__ import annotations

import math

from waferlens.records import Estimate

ABSENT = "–"
UNBROKEN = "\N{NO-BREAK SPACE}"


def number(value: float) -> str:
    """Three decimals below ten, fewer above, thousands separated; NaN as a dash."""
    if math.isnan(value):
        return ABSENT
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.3f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2g}"


def percent(rate: float, digits: int = 1) -> str:
    """A rate in [0, 1] as per cent; NaN as a dash."""
    return ABSENT if math.isnan(rate) else f"{100 * rate:.{digits}f}{UNBROKEN}%"


def interval(figure: Estimate, in_percent: bool = False) -> str:
    """[low, high], or nothing where there is no interval."""
    if math.isnan(figure.low) or math.isnan(figure.high):
        return ""
    if in_percent:
        return f"[{100 * figure.low:.1f}, {100 * figure.high:.1f}]"
    return f"[{number(figure.low)}, {number(figure.high)}]"


def value(figure: Estimate, in_percent: bool = False) -> str:
    """The value alone."""
    return percent(figure.value) if in_percent else number(figure.value)


def with_interval(figure: Estimate, in_percent: bool = False) -> str:
    """value [low, high]."""
    return f"{value(figure, in_percent)} {interval(figure, in_percent)}".rstrip()

"""How numbers and moments are written on pages: filters of the templates."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from typing import Any

_MINUS, _DASH, _NARROW = "\u2212", "\u2013", "\u202f"


def moment(ms: int) -> str:
    """Date and time in the machine's own zone, to the second."""
    return _local(ms).strftime("%Y-%m-%d %H:%M:%S")


def clock(ms: int) -> str:
    """Hour and minute."""
    return _local(ms).strftime("%H:%M")


def machine_moment(ms: int) -> str:
    """For ``datetime`` attributes."""
    return _local(ms).isoformat(timespec="seconds")


def count(number: int) -> str:
    """Thousands apart."""
    return f"{number:,}".replace(",", _NARROW)


def number(value: float | None, digits: int = 2) -> str:
    """A figure with so many digits behind the point; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return _DASH
    return f"{value:.{digits}f}".replace("-", _MINUS)


def percent(share: float | None) -> str:
    """A share as a percentage, with digits that fit its size."""
    if share is None or not math.isfinite(share):
        return _DASH
    told = 100 * share
    digits = 0 if told == 0 or told >= 99.995 else 1 if told >= 1 else 2 if told >= 0.1 else 3
    return f"{told:.{digits}f}{_NARROW}%"


def points(difference: float | None) -> str:
    """A difference of two shares, in percentage points with its sign."""
    if difference is None or not math.isfinite(difference):
        return _DASH
    return f"{100 * difference:+.2f}".replace("-", _MINUS)


def p_value(value: float | None) -> str:
    """A p-value; a tiny one is only said to be below a thousandth."""
    if value is None or not math.isfinite(value):
        return _DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def span(seconds: float | None) -> str:
    """A duration in the unit that fits it."""
    if seconds is None:
        return _DASH
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def _local(ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ms / 1000).astimezone()


FILTERS: Mapping[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (moment, clock, machine_moment, count, number, percent, points, p_value, span)
}

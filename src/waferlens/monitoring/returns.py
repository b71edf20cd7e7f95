"""What better inspection returns, and how that depends on each input. The case study's figures are the defaults.

    escapes    escapes a month x 12 x cost of one
    overkill   scrapped good wafers a month x 12 x value of one
    exposure   wafers made until a new defect is known x value of one x such defects a year as they are counted
    saving     improvement x (escapes + overkill + exposure) - compute

The case study says that 340 escapes a month at 12,000 USD cost 4.1 M USD a year. That is a month: a year is 49.0
M. Its total of 109 M holds the slip; ``as_told`` repeats it, so that both can be shown. Knows no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from pydantic import BaseModel, Field

_MONTHS = 12


class ReturnInputs(BaseModel, frozen=True, extra="forbid"):
    """What the return is computed from. Money in USD."""

    escapes_per_month: float = Field(340.0, ge=0, description="defects that reach packaging")
    escape_cost: float = Field(12_000.0, ge=0, description="of one, in wasted processing")
    overkill_per_month: float = Field(120.0, ge=0, description="good wafers that are scrapped")
    wafer_value: float = Field(18_000.0, ge=0, description="of one wafer")
    wafers_per_day: float = Field(400.0, ge=0, description="of both lines")
    novel_days: float = Field(11.0, ge=0, description="until a new kind of defect is known today")
    novel_per_year: float = Field(1.0, ge=0, description="new kinds a year as counted; two came, one is counted")
    improvement: float = Field(0.10, ge=0, le=1, description="share of these losses that is avoided")
    compute_per_month: float = Field(1_950.0, ge=0, description="machines, storage, monitoring")


@dataclass(frozen=True, kw_only=True)
class Returns:
    """Money a year. multiple: saving over compute, as the case study counts it."""

    escapes: float
    overkill: float
    exposure: float
    compute: float
    avoided: float

    @property
    def losses(self) -> float:
        """All three together."""
        return self.escapes + self.overkill + self.exposure

    @property
    def net(self) -> float:
        """Avoided, less compute."""
        return self.avoided - self.compute

    @property
    def multiple(self) -> float:
        """Avoided over compute; infinite where compute costs nothing."""
        return self.avoided / self.compute if self.compute else float("inf")

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        told = {field.name: float(getattr(self, field.name)) for field in fields(self)}
        return told | {"losses": self.losses, "net": self.net, "multiple": self.multiple}


def returns(inputs: ReturnInputs) -> Returns:
    """The arithmetic, a year."""
    escapes = inputs.escapes_per_month * _MONTHS * inputs.escape_cost
    overkill = inputs.overkill_per_month * _MONTHS * inputs.wafer_value
    exposure = inputs.wafers_per_day * inputs.novel_days * inputs.wafer_value * inputs.novel_per_year
    return Returns(
        escapes=escapes,
        overkill=overkill,
        exposure=exposure,
        compute=inputs.compute_per_month * _MONTHS,
        avoided=inputs.improvement * (escapes + overkill + exposure),
    )


def as_told(inputs: ReturnInputs) -> Returns:
    """The case study's own total, with a month of escapes in place of a year."""
    right = returns(inputs)
    escapes = right.escapes / _MONTHS
    return replace(
        right, escapes=escapes, avoided=inputs.improvement * (escapes + right.overkill + right.exposure)
    )


@dataclass(frozen=True, kw_only=True)
class Swing:
    """What one input does to the net return. low, high: the input's values; at_low, at_high: the net there."""

    name: str
    low: float
    high: float
    at_low: float
    at_high: float

    @property
    def width(self) -> float:
        """How far the net moves."""
        return abs(self.at_high - self.at_low)


def tornado(inputs: ReturnInputs, ranges: Mapping[str, tuple[float, float]] | None = None) -> list[Swing]:
    """Each input from its low to its high value while the others stay; the widest first.

    ranges: by name; half and one and a half times the value where none is given.
    """
    swings = []
    for name in ReturnInputs.model_fields:
        value = float(getattr(inputs, name))
        low, high = (ranges or {}).get(name, (0.5 * value, 1.5 * value))
        if name == "improvement":
            high = min(high, 1.0)
        at_low, at_high = (returns(inputs.model_copy(update={name: end})).net for end in (low, high))
        swings.append(Swing(name=name, low=low, high=high, at_low=at_low, at_high=at_high))
    return sorted(swings, key=lambda swing: -swing.width)

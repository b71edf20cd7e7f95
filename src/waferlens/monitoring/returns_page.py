"""The page of the return on investment: the arithmetic, the original's slip, and what each input does."""

from __future__ import annotations

from collections.abc import Sequence

from waferlens.evaluation.figures import DEFECT_COLOUR, INK, NORMAL_COLOUR, Picture, as_picture, label, new_figure
from waferlens.monitoring.pages import Section
from waferlens.monitoring.returns import ReturnInputs, Returns, Swing

_MILLION = 1e6
_ARITHMETIC = (
    "The case study counts a month of escapes as a year: 340 x 12,000 USD is 4.1 M USD a month and 49 M a year."
    " Its column repeats that slip. An exposure is what may be made before a new defect is known, not what is"
    " certainly lost; it is counted whole, as the original does, and varied below. Labour is not in it."
)
_SWINGS = "The net return while one input goes from half to one and a half times its value and the others stay."


def returns_sections(
    inputs: ReturnInputs, right: Returns, told: Returns, swings: Sequence[Swing]
) -> list[Section]:
    """The arithmetic beside the original's, then the tornado."""
    rows = [
        ("escapes", *_pair(told.escapes, right.escapes), _product(inputs.escapes_per_month, inputs.escape_cost)),
        (
            "overkill",
            *_pair(told.overkill, right.overkill),
            _product(inputs.overkill_per_month, inputs.wafer_value),
        ),
        (
            "exposure to new defects",
            *_pair(told.exposure, right.exposure),
            f"{inputs.wafers_per_day:,.0f} wafers x {inputs.novel_days:g} days x {inputs.wafer_value:,.0f}"
            f" x {inputs.novel_per_year:g} a year",
        ),
        ("losses", *_pair(told.losses, right.losses), "the sum"),
        ("avoided", *_pair(told.avoided, right.avoided), f"{inputs.improvement:.0%} of it"),
        ("compute", *_pair(told.compute, right.compute), f"{inputs.compute_per_month:,.0f} x 12"),
        ("net", *_pair(told.net, right.net), "avoided less compute"),
        ("avoided over compute", f"{told.multiple:,.0f}x", f"{right.multiple:,.0f}x", ""),
    ]
    return [
        Section(
            title="The arithmetic, a year",
            text=_ARITHMETIC,
            columns=("", "as the case study has it", "corrected", "how"),
            rows=rows,
        ),
        Section(
            title="What each input does",
            text=_SWINGS,
            pictures=[_tornado(right, swings)],
        ),
    ]


def money(value: float) -> str:
    """Millions of USD."""
    return f"{value / _MILLION:,.2f} M"


def _pair(told: float, right: float) -> tuple[str, str]:
    return money(told), money(right)


def _product(per_month: float, each: float) -> str:
    return f"{per_month:,.0f} a month x 12 x {each:,.0f}"


def _tornado(right: Returns, swings: Sequence[Swing]) -> Picture:
    figure, (ax,) = new_figure(height=0.42 * len(swings) + 1.2)
    for row, swing in enumerate(reversed(swings)):
        for end, colour in ((swing.at_low, DEFECT_COLOUR), (swing.at_high, NORMAL_COLOUR)):
            ax.barh(row, (end - right.net) / _MILLION, left=right.net / _MILLION, color=colour, height=0.62)
    ax.axvline(right.net / _MILLION, color=INK, lw=1)
    ax.set_yticks(
        range(len(swings)),
        [f"{s.name.replace('_', ' ')} ({s.low:,.6g} to {s.high:,.6g})" for s in reversed(swings)],
    )
    label(ax, title="Net return, millions of USD a year", x="orange: half the input, blue: one and a half times")
    return as_picture(figure, alt="Tornado plot: the net return as each input varies, the widest on top")

"""``roi``: what better inspection returns, with the case study's inputs as defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waferlens.cli import console
from waferlens.cli.arguments import AsJson


def roi(
    escapes: Annotated[float, typer.Option("--escapes", min=0, help="A month, that reach packaging.")] = 340.0,
    escape_cost: Annotated[float, typer.Option("--escape-cost", min=0, help="USD, of one.")] = 12_000.0,
    overkill: Annotated[float, typer.Option("--overkill", min=0, help="Good wafers scrapped a month.")] = 120.0,
    wafer_value: Annotated[float, typer.Option("--wafer-value", min=0, help="USD.")] = 18_000.0,
    wafers_per_day: Annotated[float, typer.Option("--wafers-per-day", min=0, help="Of all lines.")] = 400.0,
    novel_days: Annotated[float, typer.Option("--novel-days", min=0, help="Until a new kind is known.")] = 11.0,
    novel_per_year: Annotated[float, typer.Option("--novel-per-year", min=0, help="New kinds.")] = 1.0,
    improvement: Annotated[float, typer.Option("--improvement", min=0, max=1, help="Share avoided.")] = 0.10,
    compute: Annotated[float, typer.Option("--compute", min=0, help="USD a month.")] = 1_950.0,
    page: Annotated[Path | None, typer.Option("--page", help="Also write a page with a tornado plot.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compute what better inspection returns a year, beside the case study's own arithmetic and its slip."""
    from waferlens.monitoring.pages import write_page
    from waferlens.monitoring.returns import ReturnInputs, as_told, returns, tornado
    from waferlens.monitoring.returns_page import returns_sections

    inputs = ReturnInputs(
        escapes_per_month=escapes,
        escape_cost=escape_cost,
        overkill_per_month=overkill,
        wafer_value=wafer_value,
        wafers_per_day=wafers_per_day,
        novel_days=novel_days,
        novel_per_year=novel_per_year,
        improvement=improvement,
        compute_per_month=compute,
    )
    right, told, swings = returns(inputs), as_told(inputs), tornado(inputs)
    sections = returns_sections(inputs, right, told, swings)
    if page is not None:
        write_page(page, "Return on investment", sections)
    if as_json:
        swung = [vars(swing) for swing in swings]
        console.print_json({"corrected": right.as_dict(), "as_told": told.as_dict(), "tornado": swung})
        return
    console.print_table(sections[0].title, list(sections[0].columns), [list(row) for row in sections[0].rows])
    console.print_line(sections[0].text)

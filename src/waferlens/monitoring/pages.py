"""One page of the watch: a title, sections with a sentence, a table and pictures. Asks nothing of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import DictLoader, Environment, StrictUndefined

if TYPE_CHECKING:  # figures draw with matplotlib, which a machine that only inspects does not have
    from waferlens.evaluation.figures import Picture

_TEMPLATE = "watch_page.html.j2"


@dataclass(frozen=True, kw_only=True)
class Section:
    """text: one paragraph. columns, rows: a table; nothing: what stands there without rows."""

    title: str
    text: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    nothing: str = "Nothing."
    pictures: Sequence[Picture] = field(default=())


def as_noted(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Words and tables of sections, for JSON: a run of the watch keeps them for the station. Without pictures."""
    return [
        {
            "title": each.title,
            "text": each.text,
            "columns": list(each.columns),
            "rows": [list(row) for row in each.rows],
            "nothing": each.nothing,
        }
        for each in sections
    ]


def render_page(title: str, sections: Sequence[Section], lead: str = "") -> str:
    """The page as HTML; every text is escaped."""
    environment = Environment(
        loader=DictLoader({_TEMPLATE: files("waferlens.monitoring").joinpath(_TEMPLATE).read_text("utf-8")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = files("waferlens.evaluation").joinpath("report.css").read_text("utf-8")
    return environment.get_template(_TEMPLATE).render(title=title, lead=lead, sections=sections, style_sheet=style)


def write_page(path: Path, title: str, sections: Sequence[Section], lead: str = "") -> None:
    """Write the page. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(title, sections, lead), encoding="utf-8")

"""One page of the watch: a title, sections with a sentence, a table and pictures. Asks nothing of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined

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

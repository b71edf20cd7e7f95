"""What every page of the station is drawn with: templates, assets, navigation, words for the next page.

A handler calls ``page`` with the name of a template and what it shows, ``fragment`` for a part that renews itself,
``back_to`` after a form. Every value is escaped; a name that is missing in a template is an error, not a blank.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from waferlens import __version__
from waferlens.errors import NotFound
from waferlens.web.access import PAGES
from waferlens.web.station import writing
from waferlens.web.station.said import forget_said, read_said, theme_of
from waferlens.web.visits import FORM_FIELD, Visit, is_tls

_KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # Not no-referrer: a browser would then send forms with the origin "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """An entry of the navigation. path: of a page in ``PAGES``; who may not open it does not see it."""

    path: str
    title: str


PLACES = (
    Place(path="/station", title="Line"),
    Place(path="/station/review", title="Review"),
    Place(path="/station/wafers", title="Wafers"),
    Place(path="/station/atlas", title="Atlas"),
    Place(path="/station/watch", title="Watch"),
    Place(path="/station/figures", title="Agreement"),
    Place(path="/station/classes", title="Classes"),
    Place(path="/station/model", title="Model"),
    Place(path="/station/rollout", title="Rollout"),
    Place(path="/station/people", title="People"),
    Place(path="/station/audit", title="Audit"),
)


class Shell:
    """Templates and assets, read once."""

    def __init__(self, idle_seconds: float) -> None:
        """idle_seconds: without use until a page covers itself."""
        self._idle_seconds = idle_seconds
        self._templates = Environment(
            loader=PackageLoader("waferlens.web.station"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(writing.FILTERS)
        self._assets = {
            file.name: file.read_bytes()
            for file in files("waferlens.web.station.assets").iterdir()
            if file.name.rpartition(".")[2] in _KINDS
        }
        told = b"".join(name.encode() + self._assets[name] for name in sorted(self._assets))
        self._version = hashlib.sha256(told).hexdigest()[:16]

    def page(self, request: Request, template: str, *, status: int = 200, **shown: Any) -> Response:
        """A whole page."""
        said = read_said(request)
        about = {"said": said, "places": _places(request), "here": request.url.path}
        response = self._answer(request, template, status, shown | about)
        if said is not None:
            forget_said(response)
        return response

    def fragment(self, request: Request, template: str, **shown: Any) -> Response:
        """A part of a page that is drawn again while the page stays."""
        return self._answer(request, template, 200, shown)

    def asset(self, version: str, name: str) -> Response:
        """A file that pages load. Its address changes with its content. Raises NotFound."""
        if name not in self._assets:
            raise NotFound("no such file")
        fresh = version == self._version
        headers = HEADERS | {"Cache-Control": "public, max-age=31536000, immutable" if fresh else "no-store"}
        return Response(self._assets[name], media_type=_KINDS[name.rpartition(".")[2]], headers=headers)

    def _answer(self, request: Request, template: str, status: int, shown: dict[str, Any]) -> Response:
        visit: Visit | None = getattr(request.state, "visit", None)
        known = {
            "who": None if visit is None else visit.session.identity,
            "form_token": "" if visit is None else visit.form_token,
            "form_field": FORM_FIELD,
            "idle_seconds": self._idle_seconds,
            "theme": theme_of(request),
            "assets": f"/station/assets/{self._version}",
            "version": __version__,
        }
        text = self._templates.get_template(template).render(known | shown)
        headers = HEADERS | {"Cache-Control": "no-store"}
        if is_tls(request):
            headers["Strict-Transport-Security"] = "max-age=31536000"
        return Response(text, status_code=status, media_type="text/html; charset=utf-8", headers=headers)


def shell_of(request: Request) -> Shell:
    """The shell of the running application."""
    shell: Shell = request.app.state.shell
    return shell


def visit_here(request: Request) -> Visit:
    """The browser that asks. Only behind a page that is not public."""
    visit: Visit = request.state.visit
    return visit


def may_open(request: Request, method: str, path: str) -> bool:
    """Whether whoever asks may do this: pages offer nothing else."""
    return visit_here(request).session.identity.role in (PAGES.get((method, path)) or ())


def _places(request: Request) -> list[Place]:
    visit: Visit | None = getattr(request.state, "visit", None)
    if visit is None or visit.session.locked:
        return []
    role = visit.session.identity.role
    return [place for place in PLACES if role in (PAGES.get(("GET", place.path)) or ())]

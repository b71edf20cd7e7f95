"""What a browser is shown when something goes wrong: a page, or the way to sign in.

The status is that of the API (``problems``); a script of a page gets the API's own problem details.
"""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request, Response

from waferlens.errors import NotAuthenticated, SessionLocked
from waferlens.web.station.said import back_to
from waferlens.web.station.shell import shell_of
from waferlens.web.visits import BACKGROUND_HEADER, FORM_HEADER

_WORDS = {
    401: "Sign in first",
    403: "That is not yours to do",
    404: "There is nothing here",
    409: "Somebody was faster, or it is settled already",
    422: "Something in the form does not fit",
    429: "Too many tries",
    503: "Not now",
}


def trouble(request: Request, error: Exception, status: int, title: str, detail: str | None) -> Response | None:
    """The page for an error on the station; None where a program asked."""
    if not is_page(request):
        return None
    if isinstance(error, NotAuthenticated):
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        to = quote(path if request.method == "GET" else "/station", safe="")
        where = "unlock" if isinstance(error, SessionLocked) else "sign-in"
        return back_to(f"/station/{where}?to={to}")
    heading = _WORDS.get(status, "That went wrong")
    return shell_of(request).page(
        request, "trouble.html.j2", status=status, heading=heading, title=title, detail=detail, code=status
    )


def is_page(request: Request) -> bool:
    """Whether a person waits for a page, and no script of one."""
    on_station = request.url.path == "/station" or request.url.path.startswith("/station/")
    by_script = BACKGROUND_HEADER in request.headers or FORM_HEADER in request.headers
    return on_station and not by_script

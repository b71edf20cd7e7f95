"""A person's browser: the cookie of the session, the token of every form, where a request came from.

The form's token is derived from the session's secret, which no page and no script can read (HttpOnly), so another
origin can neither know nor make it. Where nobody is signed in yet, the browser's own word on the origin must do.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request, Response

from waferlens.errors import NotAllowed, NotAuthenticated
from waferlens.storage.accounts import LOGIN_SECONDS
from waferlens.storage.sessions import Session, Sessions

FORM_FIELD, FORM_HEADER = "form_token", "X-Form-Token"
BACKGROUND_HEADER = "X-Background"
"""Sent by what a page asks for on its own: nobody's hand, so it keeps no session awake."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A signed-in person's browser. secret: of the session, never shown."""

    session: Session
    secret: str

    @property
    def form_token(self) -> str:
        """What every form of this session carries."""
        return hmac.digest(self.secret.encode(), b"form token", "sha256").hex()


def visit_of(request: Request) -> Visit:
    """Who sits at this browser. Raises NotAuthenticated, DatabaseLost."""
    secret = request.cookies.get(cookie_name(request))
    if not secret:
        raise NotAuthenticated("nobody is signed in here", expected="a session of this shift")
    used = BACKGROUND_HEADER not in request.headers
    return Visit(session=sessions_of(request).find(secret, used=used), secret=secret)


def sessions_of(request: Request) -> Sessions:
    """The sessions of the running application."""
    sessions: Sessions = request.app.state.sessions
    return sessions


async def check_form(request: Request) -> None:
    """Raises NotAllowed unless what was posted comes from a page of this service and of this very session."""
    if not _from_here(request):
        raise NotAllowed("this form does not come from the station", expected="a page of this address")
    visit: Visit | None = getattr(request.state, "visit", None)
    if visit is None:
        return
    told = request.headers.get(FORM_HEADER)
    if told is None:
        field = (await request.form()).get(FORM_FIELD)
        told = field if isinstance(field, str) else ""
    if not hmac.compare_digest(told.encode(errors="replace"), visit.form_token.encode()):
        raise NotAllowed("this form is not of this session", expected="the page to be loaded again")


def set_session(request: Request, response: Response, secret: str) -> None:
    """Give the browser its session. No script reads it, no other site sends it; with TLS only TLS carries it."""
    response.set_cookie(
        cookie_name(request),
        secret,
        max_age=LOGIN_SECONDS,
        path="/",
        httponly=True,
        samesite="strict",
        secure=is_tls(request),
    )


def drop_session(request: Request, response: Response) -> None:
    """Take it back."""
    response.delete_cookie(
        cookie_name(request), path="/", httponly=True, samesite="strict", secure=is_tls(request)
    )


def cookie_name(request: Request) -> str:
    """With TLS a name that a browser accepts only from this very host, marked secure."""
    return "__Host-waferlens" if is_tls(request) else "waferlens"


def is_tls(request: Request) -> bool:
    """Whether the browser speaks TLS, to this process or to the proxy in front of it."""
    return request.url.scheme == "https"


def _from_here(request: Request) -> bool:
    """By Sec-Fetch-Site, which no script can set, and by Origin; one of them must be there."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        return False
    if origin is not None:
        return urlsplit(origin).netloc == request.headers.get("host")
    return site is not None

"""Signing in and out, the lock, the choice of light or dark, and the files that pages load."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import RedirectResponse

from waferlens.errors import AccessError, NotAllowed, NotAuthenticated, Overloaded, WaferlensError
from waferlens.storage.accounts import Role
from waferlens.web.context import service_of
from waferlens.web.problems import status_of
from waferlens.web.station.said import THEMES, back_to, choose_theme, local_path
from waferlens.web.station.shell import shell_of, visit_here
from waferlens.web.visits import drop_session, sessions_of, set_session

router = APIRouter(include_in_schema=False)

Password = Annotated[str, Form(max_length=1024)]
Next = Annotated[str, Form(max_length=2000)]


@router.get("/")
def root() -> Response:
    """The station."""
    return RedirectResponse("/station", status_code=307)


@router.get("/station/assets/{version}/{name}")
def asset(request: Request, version: str, name: str) -> Response:
    """A file that pages load."""
    return shell_of(request).asset(version, name)


@router.get("/station/sign-in")
def ask_who(request: Request, to: str = "/station") -> Response:
    """The page to sign in."""
    return shell_of(request).page(request, "sign_in.html.j2", to=local_path(to), name="", problem=None)


@router.post("/station/sign-in")
def sign_in(
    request: Request, name: Annotated[str, Form(max_length=200)], password: Password, to: Next = "/station"
) -> Response:
    """A session of one shift. Whatever of the two is wrong, the answer is the same."""
    try:
        identity = service_of(request).record.accounts.verify(name, password)
        if identity.role is Role.STATION:
            raise NotAllowed("this account is a machine's", expected="an account of a person")
    except (AccessError, Overloaded) as error:
        status, words = status_of(error), _words_of(error)
        return shell_of(request).page(
            request, "sign_in.html.j2", status=status, to=local_path(to), name=name, problem=words
        )
    response = back_to(to)
    set_session(request, response, sessions_of(request).open(identity))
    return response


@router.post("/station/sign-out")
def sign_out(request: Request) -> Response:
    """The session ends."""
    visit = visit_here(request)
    sessions_of(request).end(visit.secret, visit.session.identity.name)
    response = back_to("/station/sign-in", "You are signed out.")
    drop_session(request, response)
    return response


@router.get("/station/unlock")
def ask_again(request: Request, to: str = "/station") -> Response:
    """The page that asks for the password again."""
    if not visit_here(request).session.locked:
        return back_to(to)
    return shell_of(request).page(request, "unlock.html.j2", to=local_path(to), problem=None)


@router.post("/station/unlock")
def unlock(request: Request, password: Password, to: Next = "/station") -> Response:
    """Go on where the work stood."""
    visit = visit_here(request)
    try:
        service_of(request).record.accounts.verify(visit.session.identity.name, password)
    except (AccessError, Overloaded) as error:
        status, words = status_of(error), _words_of(error)
        return shell_of(request).page(request, "unlock.html.j2", status=status, to=local_path(to), problem=words)
    sessions_of(request).unlock(visit.secret)
    return back_to(to)


@router.post("/station/lock", status_code=204)
def lock(request: Request) -> None:
    """Wait for the password: nobody has used the page for a while, or its person leaves it."""
    sessions_of(request).lock(visit_here(request).secret)


@router.post("/station/awake", status_code=204)
def awake() -> None:
    """Somebody is at the page without asking for anything. The check of access has noted it."""


@router.post("/station/theme")
def choose_colours(theme: Annotated[str, Form()], to: Next = "/station") -> Response:
    """Light, dark, or as the system says."""
    response = back_to(to)
    choose_theme(response, theme if theme in THEMES else THEMES[0])
    return response


def _words_of(error: WaferlensError) -> str:
    if isinstance(error, NotAuthenticated):
        return "Name or password is wrong."
    if isinstance(error, NotAllowed):
        return "This account belongs to a machine. Sign in with your own."
    if isinstance(error, Overloaded):
        return "Too many people sign in at once. Try again in a moment."
    return f"Too many wrong passwords for this name. Next try after {error.expected}."

"""What travels from one page to the next in a browser: words on what was done, the way back, light or dark."""

from __future__ import annotations

import base64
import json

from fastapi import Request, Response
from starlette.responses import RedirectResponse

_THEME_COOKIE, _SAID_COOKIE = "waferlens-theme", "waferlens-said"
THEMES = ("auto", "light", "dark")
_LONGEST = 600


def back_to(path: str, said: str | None = None, *, problem: bool = False) -> Response:
    """After a form: go to a page of the station, which says ``said``."""
    response = RedirectResponse(local_path(path), status_code=303, headers={"Cache-Control": "no-store"})
    if said is not None:
        told = json.dumps({"text": said[:_LONGEST], "problem": problem}).encode()
        response.set_cookie(
            _SAID_COOKIE,
            base64.urlsafe_b64encode(told).decode(),
            max_age=60,
            path="/station",
            httponly=True,
            samesite="strict",
        )
    return response


def read_said(request: Request) -> dict[str, str | bool] | None:
    """The words of the last page: text, and whether it is a problem. What cannot be read was never said."""
    told = request.cookies.get(_SAID_COOKIE)
    if told is None:
        return None
    try:
        read = json.loads(base64.urlsafe_b64decode(told))
        return {"text": str(read["text"])[:_LONGEST], "problem": bool(read["problem"])}
    except (ValueError, KeyError, TypeError):
        return None


def forget_said(response: Response) -> None:
    """They are said once."""
    response.delete_cookie(_SAID_COOKIE, path="/station", httponly=True, samesite="strict")


def local_path(path: str) -> str:
    """The path if it is one of the station, else the first page: no made-up link sends anybody elsewhere."""
    inside = path == "/station" or path.startswith(("/station/", "/station?"))
    plain = path.isascii() and path.isprintable() and "\\" not in path and "//" not in path
    return path if inside and plain else "/station"


def theme_of(request: Request) -> str:
    """auto, light or dark, as this browser chose."""
    told = request.cookies.get(_THEME_COOKIE, THEMES[0])
    return told if told in THEMES else THEMES[0]


def choose_theme(response: Response, theme: str) -> None:
    """Remember it for a year. It is no secret and says nothing about a person."""
    response.set_cookie(
        _THEME_COOKIE, theme, max_age=31_536_000, path="/station", httponly=True, samesite="strict"
    )

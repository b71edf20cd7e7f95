"""A browser without a screen, in the standard library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from busy import PASSWORD


@dataclass(frozen=True)
class Page:
    status: int
    headers: dict[str, str]
    text: str
    set_cookies: tuple[str, ...]

    @property
    def goes_to(self) -> str:
        return self.headers["location"]


class StationClient:
    """Keeps cookies as a browser does; ``token`` is that of the last page that had one."""

    def __init__(self, url: str) -> None:
        self.url, self.cookies, self.token, self.name = url, dict[str, str](), "", "nobody"
        self._connection = HTTPConnection(url.removeprefix("http://"), timeout=30)

    def get(self, path: str, **headers: str) -> Page:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> Page:
        told = {"form_token": self.token} | (fields or {})
        return self._ask("POST", path, urlencode(told), {"Origin": self.url} | headers)

    def sign_in(self, name: str, password: str = PASSWORD, to: str = "/station") -> Page:
        page = self.post("/station/sign-in", {"name": name, "password": password, "to": to})
        if page.status == 303:
            self.name = name
            self.get("/station/review")
        return page

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Page:
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} | headers
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, path, body, {name.replace("_", "-"): text for name, text in sent.items()})
        answer = self._connection.getresponse()
        text = answer.read().decode(errors="replace")
        given = tuple(value for name, value in answer.getheaders() if name.lower() == "set-cookie")
        for each in given:
            for name, morsel in SimpleCookie(each).items():
                self.cookies.pop(name, None)
                if morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
        found = re.search(r'data-form-token="([0-9a-f]+)"', text)
        self.token = found[1] if found else self.token
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Page(answer.status, told, text, given)

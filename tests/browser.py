"""A real Chromium for the tests of pages, driven by Playwright; where there is none, the tests say so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def a_browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: chromium): pages are not tried in a browser")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@dataclass
class Watched:
    """A page, and everything on it that should not happen."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)
    allowed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda told: told.type in ("error", "warning") and self._note(told.text))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self._check_origin)

    def _note(self, text: str) -> None:
        if not any(f"status of {status}" in text for status in self.allowed):
            self.wrong.append(f"console: {text}")

    def _check_origin(self, request) -> None:
        there = urlsplit(request.url)
        if there.scheme not in ("data", "blob") and there.netloc != urlsplit(self.url).netloc:
            self.wrong.append(f"another origin: {request.url}")


def open_page(browser: Browser, url: str, *, width=1280, height=800, colours="dark", scale=1.0) -> Watched:
    """A fresh browser profile. scale: 2 is a zoom of 200 %, with half the room."""
    context = browser.new_context(
        viewport={"width": round(width / scale), "height": round(height / scale)},
        device_scale_factor=scale,
        color_scheme=colours,
        reduced_motion="reduce",
    )
    return Watched(context.new_page(), url)


def sign_in(watched: Watched, name: str, password: str, to: str = "/station") -> Page:
    """By keyboard alone, as a person with gloves at a terminal."""
    page = watched.page
    page.goto(f"{watched.url}/station/sign-in?to={to}")
    page.wait_for_selector("#name:focus")
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{watched.url}{to}")
    return page

"""A person at the review station: a real Chromium, what it loads, and what it says on its console."""

from __future__ import annotations

import line
from waferlens.storage.accounts import Role

PASSWORD = "a long enough password"
PEOPLE = {"ann": Role.INSPECTOR, "bob": Role.INSPECTOR, "eve": Role.ENGINEER}


def with_people(service) -> None:
    for name, role in PEOPLE.items():
        service.record.accounts.create_user(name, role, PASSWORD, "tests")


def post(served: line.Served, greys, wafer="WF") -> list[dict]:
    """Images of these mean grey values, one wafer for each eight."""
    with served.client() as client:
        return [
            client.inspect(line.png(grey, seed=number), f"{wafer}-{number // 8}", number % 8)
            for number, grey in enumerate(greys)
        ]


class Person:
    """Somebody with a browser of their own, who uses the keyboard."""

    def __init__(self, browser, url: str, name: str, path: str = "/station/review") -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 800})
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda told: told.type == "error" and self.troubles.append(told.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.url = url
        self.page.goto(f"{url}/station/sign-in?to={path}")
        self.page.wait_for_function("() => document.activeElement.id === 'name'")
        self.page.keyboard.type(name)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(f"{url}{path}")

    def item(self) -> str | None:
        """The item whose image is on the screen."""
        self.page.wait_for_function(
            "() => document.querySelector('[data-nothing]:not([hidden])') || "
            "(document.querySelector('[data-review]:not(.coming) [data-work]:not([hidden])') && "
            "document.querySelector('[data-viewer]').dataset.shown?.includes("
            "document.querySelector('[data-viewer]').dataset.item))"
        )
        if self.page.is_visible("[data-nothing]"):
            return None
        return self.page.get_attribute("[data-viewer]", "data-item")

    def press(self, key: str) -> str | None:
        """A key that judges; of a blind image also Enter, which keeps it. The next item."""
        before = self.item()
        self.page.keyboard.press(key)
        changed = f"""() => document.querySelector('[data-viewer]').dataset.item !== '{before}'
            || document.querySelector('[data-work]').hidden
            || !document.querySelector('[data-confirm]').hidden"""
        self.page.wait_for_function(changed)
        if self.page.is_visible("[data-confirm]"):
            self.page.keyboard.press("Enter")
            self.page.wait_for_function(changed.rsplit("||", 1)[0])
        return self.item()

    def all_kept(self) -> None:
        """Wait until every verdict has its answer."""
        self.page.wait_for_function("() => (sessionStorage.getItem('waferlens-unsent') ?? '[]') === '[]'")

    def close(self) -> None:
        self.context.close()
        assert self.troubles == []
        assert {url.split("/")[2] for url in self.asked} == {self.url.split("/")[2]}

"""Hands on the keyboard of the review page."""

from __future__ import annotations

from playwright.sync_api import Page

STAGE = "[data-viewer]"

_MEASURE = """() => {
  const stage = document.querySelector("[data-viewer]");
  window.took = [];
  let pressed = null;
  const noted = ({ key }) => {
    if ("pru123456789".includes(key)) pressed = performance.now();
  };
  addEventListener("keydown", noted, true);
  stage.addEventListener("viewer:shown", () => {
    if (pressed !== null) window.took.push([performance.now() - pressed, stage.dataset.item]);
    pressed = null;
  });
}"""

_NUM_UNSENT = """() => JSON.parse(sessionStorage.getItem("waferlens-unsent") ?? "[]").length"""


class Reviewer:
    """One person at the review page; ``judged`` are the items that got a verdict, in order."""

    def __init__(self, page: Page) -> None:
        self.page, self.judged = page, list[str]()
        self.wait_for_another("")

    @property
    def item(self) -> str:
        return str(self.page.get_attribute(STAGE, "data-item"))

    @property
    def is_blind(self) -> bool:
        return self.page.locator("[data-beside] .said", has_text="Blind").count() > 0

    def judge(self, key: str) -> None:
        """Press the key; of a blind look also confirm what was said, once everything is shown."""
        item, blind = self.item, self.is_blind
        self.page.keyboard.press(key)
        self.judged.append(item)
        if blind:
            self.page.wait_for_selector("[data-confirm]:not([hidden])")
            self.page.keyboard.press("Enter")
        self.wait_for_another(item)

    def wait_for_another(self, item: str) -> None:
        """Until another image is on the screen, or nothing waits."""
        other = f'{STAGE}[data-shown*="/items/"]:not([data-shown*="{item or "none"}"])'
        shown = f"{other}, [data-nothing]:not([hidden])"
        self.page.wait_for_selector(shown, state="attached")

    def measure(self) -> None:
        """From now on note the milliseconds from each key to its next image on the screen."""
        self.page.evaluate(_MEASURE)

    def took(self) -> list[float]:
        return [float(each[0]) for each in self.page.evaluate("() => window.took")]

    def settle_down(self) -> None:
        """Until every verdict was answered."""
        for _ in range(400):
            if self.page.evaluate(_NUM_UNSENT) == 0:
                return
            self.page.wait_for_timeout(25)
        raise AssertionError("verdicts were not answered")

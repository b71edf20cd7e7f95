"""Every page in a real browser: accessible, whole at every size, nothing from elsewhere, no error, two colours."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from busy import PASSWORD
from watch_line import watch_everything

from browser import open_page, sign_in

pytestmark = pytest.mark.slow

SIZES = {"1280x800": (1280, 800, 1.0), "1920x1080": (1920, 1080, 1.0), "1280x800 at 200 %": (1280, 800, 2.0)}
PAGES = (
    "/station", "/station/review", "/station/arbitration", "/station/wafers", "/station/wafers/WF-000126",
    "/station/wafers/WF-000126?by=score", "/station/lots/LOT-00005", "/station/inspections/{inspection}",
    "/station/atlas", "/station/figures", "/station/figures/eve", "/station/classes", "/station/model",
    "/station/watch", "/station/watch/alarms/1", "/station/watch/alarms/2", "/station/watch/drift",
    "/station/watch/signatures", "/station/watch/escapes", "/station/watch/report",
    "/station/model?review=1&reject=9", "/station/rollout", "/station/people", "/station/audit?verify=true",
    "/station/nothing",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def watched_line(busy_station):
    """Every part of the watch has run, and two alarms are open."""
    watch_everything(busy_station)


@pytest.fixture(scope="module")
def inspection(busy_station):
    """A marred point."""
    reader = busy_station.client()
    points = reader.get("/api/v1/wafers/WF-000126")["points"]
    reader.close()
    return max(points, key=lambda point: point["score"])["id"]


@pytest.fixture(scope="module", params=["dark", "light"])
def signed_in(request, browser, busy_station):
    """Somebody who may open everything; the figures of a person are the engineer's."""
    opened = {}
    for name in ("ada", "eve"):
        opened[name] = open_page(browser, busy_station.url, colours=request.param)
        sign_in(opened[name], name, PASSWORD)
    yield opened
    for watched in opened.values():
        watched.page.context.close()


def visit(watched, path):
    watched.allowed = {404, 403} if path.endswith("nothing") else set()
    watched.page.goto(watched.url + path)
    if watched.page.locator("[data-viewer]").count() and "review" not in path and "arbitration" not in path:
        watched.page.wait_for_selector("[data-viewer][data-shown]", state="attached")
    watched.page.wait_for_load_state("networkidle")


def who_opens(path):
    return "eve" if "/figures/" in path else "ada"


def grave_violations(page):
    return [
        (
            each["id"],
            each["impact"],
            [node["html"][:160] + str(node["any"][:1])[:300] for node in each["nodes"]][:3],
        )
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious_on_a_page(signed_in, inspection, path):
    watched = signed_in[who_opens(path)]
    visit(watched, path.format(inspection=inspection))
    assert not grave_violations(watched.page)
    assert not watched.wrong


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("colours", ["dark", "light"])
def test_the_door_is_as_good_as_the_pages_behind_it(browser, busy_station, colours, scale):
    watched = open_page(browser, busy_station.url, colours=colours, scale=scale)
    watched.allowed = {401}
    page = watched.page

    def check(what):
        page.wait_for_load_state("networkidle")
        assert not grave_violations(page), what
        assert not page.evaluate(WHAT_IS_CUT), what

    page.goto(watched.url + "/station/sign-in")
    check("sign in")
    page.fill("#name", "eve")
    page.fill("#password", "not that one")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    check("a wrong password")
    page.fill("#name", "eve")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(watched.url + "/station")
    page.get_by_role("button", name="Lock").click()
    page.wait_for_selector("dialog[open]")
    check("the lock over a page")
    page.goto(watched.url + "/station/wafers")
    assert "/station/unlock" in page.url
    check("the lock as a page")
    page.fill("input[type=password]", "not that one")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    check("a wrong password at the lock")
    assert not watched.wrong
    page.context.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_page_fits_its_window(browser, busy_station, inspection, size):
    width, height, scale = SIZES[size]
    cut = {}
    for name in ("ada", "eve"):
        watched = open_page(browser, busy_station.url, width=width, height=height, scale=scale)
        sign_in(watched, name, PASSWORD)
        for path in (path for path in PAGES if who_opens(path) == name):
            visit(watched, path.format(inspection=inspection))
            found = watched.page.evaluate(WHAT_IS_CUT)
            if found:
                cut[path] = found
        assert not watched.wrong
        watched.page.context.close()
    assert not cut


# What is wider than the window, or lies outside it, unless it scrolls by itself and says so to the keyboard.
WHAT_IS_CUT = """() => {
  const wide = document.documentElement.scrollWidth > innerWidth + 1 ? ["the page is wider than its window"] : [];
  for (const each of document.querySelectorAll("main *, header *")) {
    const box = each.getBoundingClientRect();
    const aside = each.closest(".unseen, .skip, svg, .scroll, dialog, option");
    if (box.width === 0 || box.height === 0 || aside) continue;
    if (box.right > innerWidth + 1 || box.left < -1) wide.push(each.outerHTML.slice(0, 120));
    const style = getComputedStyle(each);
    const hides = style.overflowX === "hidden" || style.overflowX === "clip";
    if (hides && each.scrollWidth > each.clientWidth + 1) wide.push("cut: " + each.outerHTML.slice(0, 120));
  }
  for (const each of document.querySelectorAll(".scroll")) {
    const scrolls = each.scrollWidth > each.clientWidth + 1;
    if (scrolls && each.tabIndex < 0) wide.push("scrolls: " + each.outerHTML.slice(0, 120));
  }
  return wide.slice(0, 5);
}"""


@pytest.mark.parametrize("name", ["ann", "eve", "ada"])
def test_what_the_navigation_shows_a_role_it_may_open(browser, busy_station, name):
    watched = open_page(browser, busy_station.url)
    page = sign_in(watched, name, PASSWORD)
    addresses = page.locator("nav a").evaluate_all("links => links.map((link) => link.href)")
    assert len(addresses) >= 5
    for address in addresses:
        assert page.goto(address).status == 200
    assert not watched.wrong
    page.context.close()

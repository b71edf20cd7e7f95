"""The pictures of the pages in README and docs: made by the code that they show, so they never go stale.

By default of the small station of these tests, in a folder of theirs. ``make screenshots`` takes them of the demo.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from busy import PASSWORD, SETTINGS, a_demo_station, a_real_service, send
from PIL import Image
from reviewer import Reviewer
from watch_line import watch_everything

import line
from browser import open_page, sign_in
from waferlens.review.policy import ReviewOptions
from waferlens.storage.alarms import AlarmKind, alarms_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def station(tmp_path_factory, exported, drawn):
    """The demo's record where pictures are asked for; else a small one, whose few doubts all show their score."""
    if os.environ.get("WAFERLENS_SCREENSHOTS"):
        with a_demo_station(Path("runs/demo")) as served:
            yield served, "waferlens demo"
    else:
        seen = SETTINGS.model_copy(update={"review": ReviewOptions(blind_share=0, audit_share=0)})
        with (
            a_real_service(tmp_path_factory.mktemp("small"), exported, seen) as service,
            line.listening(service) as served,
        ):
            send(served, drawn)
            watch_everything(served)
            yield served, PASSWORD


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``WAFERLENS_SCREENSHOTS``, else a temporary one."""
    told = os.environ.get("WAFERLENS_SCREENSHOTS")
    return Path(told) if told else tmp_path_factory.mktemp("screenshots")


@pytest.fixture(scope="module")
def worst(station):
    """The rejected inspection with the least score, and the wafer with most of them."""
    served, _ = station
    with served.service.record.database.reading() as connection:
        rows = connection.exec_driver_sql(
            "SELECT id, wafer_id FROM inspections WHERE decision = 'REJECT' AND score IS NOT NULL ORDER BY score"
        ).fetchall()
    wafers = [row[1] for row in rows]
    return rows[len(rows) // 2][0], max(wafers, key=wafers.count)


@pytest.fixture(scope="module")
def novel(station):
    """The alarm of a new kind of defect."""
    with station[0].service.record.database.reading() as connection:
        alarms = alarms_of(connection, only_open=True, limit=99)
    return next(alarm.seq for alarm in alarms if alarm.kind is AlarmKind.NOVEL)


@pytest.fixture(scope="module")
def seen_by_eve(browser, station):
    """The engineer's page in each of the two looks, signed in once, so that the audit log shows more than that."""
    opened = {}

    def page(colours):
        if colours not in opened:
            opened[colours] = open_page(browser, station[0].url, colours=colours)
            sign_in(opened[colours], "eve", station[1])
        return opened[colours]

    yield page
    for watched in opened.values():
        watched.page.context.close()


def take(watched, folder, name):
    watched.page.wait_for_load_state("networkidle")
    folder.mkdir(parents=True, exist_ok=True)
    watched.page.screenshot(path=folder / f"{name}.png")
    with Image.open(folder / f"{name}.png") as picture:
        assert picture.size == (1280, 800)
        assert len(picture.convert("L").getcolors()) > 30
    assert not watched.wrong


@pytest.mark.parametrize(("name", "path", "colours"), [
    ("sign-in", "/station/sign-in", "light"),
    ("line", "/station", "light"),
    ("wafer", "/station/wafers/{wafer}", "light"),
    ("inspection", "/station/inspections/{inspection}", "dark"),
    ("model", "/station/model?review={review}&reject={reject}", "light"),
    ("atlas", "/station/atlas", "dark"),
    ("agreement", "/station/figures", "light"),
    ("audit", "/station/audit?verify=true", "dark"),
    ("watch", "/station/watch", "light"),
    ("alarm", "/station/watch/alarms/{novel}", "dark"),
    ("drift", "/station/watch/drift", "light"),
    ("signatures", "/station/watch/signatures", "light"),
    ("escapes", "/station/watch/escapes", "light"),
    ("report", "/station/watch/report", "light"),
])  # fmt: skip
def test_a_page_is_photographed(browser, station, seen_by_eve, folder, worst, novel, name, path, colours):
    served, _ = station
    watched = open_page(browser, served.url, colours=colours) if name == "sign-in" else seen_by_eve(colours)
    inspection, wafer = worst
    now = served.service.models.thresholds_of(served.service.pool.model_version)
    review, reject = round(now.review + 0.8, 1), round(now.reject + 0.8, 1)
    told = {"inspection": inspection, "wafer": wafer, "review": review, "reject": reject, "novel": novel}
    watched.page.goto(watched.url + path.format(**told))
    if name == "inspection":
        watched.page.wait_for_selector("[data-viewer][data-shown]")
    take(watched, folder, name)
    if name == "sign-in":
        watched.page.context.close()


def test_the_review_is_photographed_with_a_look_that_is_not_blind(seen_by_eve, station, folder):
    served, _ = station
    watched = seen_by_eve("dark")
    watched.page.goto(watched.url + "/station/review?order=riskiest")
    person = Reviewer(watched.page)
    wanted = ".tag.REJECT" if os.environ.get("WAFERLENS_SCREENSHOTS") else ".tag"
    clear = watched.page.locator(f"[data-beside] dl {wanted}")
    for _ in range(30):
        if not person.is_blind and clear.count() > 0:
            break
        before = person.item
        watched.page.keyboard.press("Space")
        person.wait_for_another(before)
    assert not person.is_blind
    take(watched, folder, "review")
    assert served.service.review.queue.waiting().num_looks > 0
    assert "score" in watched.page.inner_text("[data-beside]")

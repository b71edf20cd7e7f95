"""The rollout by its buttons in a real browser: a version goes the whole way and back; the record is looked at."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from busy import PASSWORD, PEOPLE, SETTINGS, send
from station_client import StationClient
from test_station_pages import WHAT_IS_CUT

import line
from browser import open_page, sign_in
from rolling import WHY, a_home_with_versions, serving_champion
from waferlens.lifecycle.guardrails import GuardrailOptions
from waferlens.lifecycle.states import State
from waferlens.review.policy import ReviewOptions
from waferlens.wiring.lifecycle import open_life
from waferlens.wiring.replay import replay_version

sys.path += [str(Path(__file__).parents[2] / folder) for folder in ("storage", "review")]
from review_examples import ANN, BAD, GOOD, judged

pytestmark = pytest.mark.slow
OLD, NEW, THIRD = "vae-wafer-v1.0.0", "vae-wafer-v1.0.1", "vae-wafer-v1.0.2"
HERE = "/station/rollout"
# Tests share their machine: a slow spell of it is no model's fault.
TOLD = SETTINGS.model_copy(update={
    "review": ReviewOptions(blind_share=0, audit_share=0, double_share=0, known_share=0, include_reject=True),
    "guardrails": GuardrailOptions(slow_ms=60_000),
})  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, exported, drawn):
    """A champion that inspected some wafers, people who settled its doubts, a version that replayed them."""
    folder = tmp_path_factory.mktemp("rolling")
    life = a_home_with_versions(folder, exported, (0.0, 1.5, -0.5))
    life.rollout.promote(WHY, OLD)
    with serving_champion(life.record.home, TOLD) as served:
        send(served, drawn)
        for name, role in PEOPLE.items():
            served.service.record.accounts.create_user(name, role, PASSWORD, "tests")
        waiting = served.service.review.queue.waiting().num_looks
        for number in range(waiting):
            judged(served.service.review, BAD if number % 2 else GOOD, ANN)
    replay_version(life, NEW, days=1, ray=None, num=1, count=lambda done, total: None)
    life.record.database.close()
    return life.record.home


@pytest.fixture
def station(recorded, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(recorded, home)
    with serving_champion(home, TOLD) as served:
        yield served


def roles_of(served):
    """As another process reads them: (champion, challenger, its state, previous)."""
    roles = open_life(served.service.record.home).rollout.roles()
    holders = (roles.champion, roles.challenger, roles.previous)
    champion, challenger, previous = (None if each is None else each.version for each in holders)
    return champion, challenger, roles.challenger and roles.challenger.state, previous


def newest_move(served, version):
    move = served.service.rollout.history(version, limit=1)[0]
    entry = served.service.record.audit.entries(limit=1)[0]
    assert (entry.action, entry.actor) == ("model moved", move.actor)
    return move.to_state, move.actor, move.reason


def press(page, button, reason):
    """Say why, and press; without a reason the form does not go."""
    form = page.locator(f"form:has(#{button})")
    form.locator(f"#{button}").click()
    assert form.locator("input[name=reason]").evaluate("field => !field.checkValidity()")
    form.locator("input[name=reason]").fill(reason)
    form.locator(f"#{button}").press("Enter")
    page.wait_for_selector(".said")


def look(watched, picture=None):
    """The page as it is now is whole, accessible and without an error. picture: for the documents, where asked."""
    watched.page.wait_for_load_state("networkidle")
    found = Axe().run(watched.page).response["violations"]
    assert not [(e["id"], e["nodes"][0]["html"]) for e in found if e["impact"] in ("serious", "critical")]
    assert not watched.page.evaluate(WHAT_IS_CUT)
    assert not watched.wrong
    folder = os.environ.get("WAFERLENS_SCREENSHOTS")
    if folder and picture:
        watched.page.screenshot(path=Path(folder) / f"{picture}.png")


@pytest.mark.parametrize(("colours", "scale"), [("light", 1.0), ("dark", 2.0)])
def test_an_engineer_tries_promotes_and_takes_back_a_version_by_the_buttons(
    browser, station, drawn, colours, scale
):
    watched = open_page(browser, station.url, colours=colours, scale=scale)
    page = sign_in(watched, "eve", PASSWORD, HERE)
    look(watched)
    page.select_option("#version", NEW)
    press(page, "start", "July's images")
    assert roles_of(station) == (OLD, NEW, State.SHADOW, None)
    assert newest_move(station, NEW) == ("shadow", "eve", "July's images")
    look(watched)

    page.fill("#percent", "50")
    press(page, "advance", "no difference in shadow")
    assert roles_of(station) == (OLD, NEW, State.CANARY, None)
    assert open_life(station.service.record.home).rollout.roles().canary_share == 0.5
    assert newest_move(station, NEW) == ("canary", "eve", "no difference in shadow")
    send(station, drawn, "NEXT-")
    page.reload()
    assert "of settled REJECTs" in page.locator("section:has(> #rates)").inner_text()
    look(watched, "rollout" if scale == 1.0 else None)

    press(page, "advance", "a week of canary")
    assert roles_of(station) == (NEW, None, None, OLD)
    assert newest_move(station, NEW) == ("champion", "eve", "a week of canary")
    assert station.service.pool.model_version == NEW
    look(watched)

    press(page, "rollback", "escapes in lot 4711")
    assert roles_of(station) == (OLD, None, None, NEW)
    assert newest_move(station, OLD) == ("champion", "eve", "escapes in lot 4711")
    assert station.service.pool.model_version == OLD
    with station.client() as camera:
        assert camera.inspect(line.png(90, seed=1), "WF-AFTER", 0, product="tiny")["model_version"] == OLD
    assert station.service.record.audit.verify() > 4
    page.context.close()


def test_a_challenger_is_refused_by_its_button_alone(browser, station):
    watched = open_page(browser, station.url)
    page = sign_in(watched, "ada", PASSWORD, HERE)
    page.select_option("#version", THIRD)
    press(page, "start", "a try")
    page.get_by_text("Abort: refuse the challenger").click()
    press(page, "abort", "too many at point 17")
    assert roles_of(station) == (OLD, None, None, None)
    assert newest_move(station, THIRD) == ("refused", "ada", "too many at point 17")
    assert not watched.wrong
    page.context.close()


def test_the_page_shows_what_both_models_say_of_the_same_images_and_leads_to_those_on_which_they_part(
    browser, station
):
    watched = open_page(browser, station.url, colours="light")
    page = sign_in(watched, "eve", PASSWORD, HERE)
    page.get_by_role("link", name=f"Compare {NEW}").click()
    page.wait_for_url(f"**version={NEW}#beside")
    beside = page.locator("section:has(> #beside)")
    words = beside.inner_text()
    with station.service.record.database.reading() as connection:
        num = connection.exec_driver_sql("SELECT count(*) FROM challenger_scores").scalar()
        parted = connection.exec_driver_sql(
            "SELECT i.id FROM inspections i JOIN challenger_scores c ON c.inspection_id = i.id "
            "WHERE c.decision <> i.decision"
        ).fetchall()
    assert f"on {num} images" in words
    assert f"{len(parted)} would be decided otherwise" in words
    assert parted
    assert "AUROC, 95 % interval" in words
    assert beside.locator("svg.histogram").count() == 2
    pictures = beside.locator(".small a")
    assert {each.rpartition("/")[2] for each in pictures.evaluate_all("all => all.map((one) => one.href)")} <= {
        row[0] for row in parted
    }
    look(watched)
    address = pictures.first.get_attribute("href")
    assert page.goto(watched.url + address).status == 200
    page.wait_for_selector("[data-viewer][data-shown]")
    assert not watched.wrong
    page.context.close()


def test_a_guardrail_without_data_says_so_and_the_sample_is_told(browser, station):
    rollout = station.service.rollout
    rollout.start(NEW, WHY)
    rollout.canary(0.1, WHY)
    watched = open_page(browser, station.url)
    page = sign_in(watched, "eve", PASSWORD, HERE)
    words = page.locator("section:has(> #guards)").inner_text()
    for name in ("escape rate", "failures", "latency", "REJECT rate"):
        assert name in words
    assert words.count("not enough data") >= 4
    assert "fine" not in words.lower().replace("never taken for fine", "")
    table = page.locator("section:has(> #rates)").inner_text()
    assert "Still needed" in table
    assert "p, any look" in table
    page.context.close()


@pytest.fixture
def eve(station):
    client = StationClient(station.url)
    assert client.sign_in("eve").status == 303
    yield client
    client.close()


def test_a_second_press_finds_another_state_and_moves_nothing(station, eve):
    told = {"version": NEW, "reason": "twice"}
    assert eve.post(f"{HERE}/start", told).status == 303
    assert eve.post(f"{HERE}/start", told).status == 409
    assert eve.post(f"{HERE}/advance", told | {"to": "canary", "percent": "10"}).status == 303
    assert eve.post(f"{HERE}/advance", told | {"to": "canary", "percent": "10"}).status == 409
    assert roles_of(station) == (OLD, NEW, State.CANARY, None)
    assert eve.post(f"{HERE}/abort", told | {"version": THIRD}).status == 409
    assert roles_of(station) == (OLD, NEW, State.CANARY, None)


@pytest.mark.parametrize("told", [
    {"reason": ""}, {"reason": "   "}, {"reason": "x" * 501}, {"version": "../etc"},
    {"version": "vae-wafer-v9.0.0"},
])  # fmt: skip
def test_a_move_without_a_reason_or_a_version_is_refused(station, eve, told):
    page = eve.post(f"{HERE}/start", {"version": NEW, "reason": "a try"} | told)
    assert page.status == (404 if told.get("version") == "vae-wafer-v9.0.0" else 422)
    assert roles_of(station) == (OLD, None, None, None)


def test_a_form_from_elsewhere_and_a_person_without_the_role_move_nothing(station, eve):
    told = {"version": NEW, "reason": "a try"}
    assert eve.post(f"{HERE}/start", told | {"form_token": "0" * 64}).status == 403
    assert eve.post(f"{HERE}/start", told, Origin="http://evil.example").status == 403
    ann = StationClient(station.url)
    ann.sign_in("ann")
    assert (ann.get(HERE).status, ann.post(f"{HERE}/start", told).status) == (403, 403)
    assert HERE not in ann.get("/station").text
    ann.close()
    assert roles_of(station) == (OLD, None, None, None)

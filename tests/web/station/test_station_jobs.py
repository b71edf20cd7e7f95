"""Each role does each of its jobs in a real browser; the record is looked at after each."""

from __future__ import annotations

import itertools

import pytest
from busy import PASSWORD, PRODUCT, images
from reviewer import Reviewer
from sqlalchemy import select

from browser import open_page, sign_in
from waferlens.storage.accounts import Role
from waferlens.storage.histories import newest_band, newest_disposition
from waferlens.storage.review_tables import review_items, settlements, verdicts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def queue(busy_station, drawn):
    """75 images in doubt more: for a while everything is."""
    from waferlens.web.models import move_band

    service = busy_station.service
    held = service.models.thresholds_of(service.pool.model_version)
    move_band(service, "tests", -1e9, 1e9, reason="everything is in doubt")
    camera = busy_station.client()
    for number, data in enumerate(itertools.islice(itertools.cycle(drawn.values()), 75)):
        camera.inspect(data, f"WF-DOUBT{number // 50}", number % 50, product=PRODUCT, lot_id="LOT-DOUBT")
    camera.close()
    move_band(service, "tests", held.review, held.reject, reason="as the bundle says")
    return busy_station


def at(browser, served, name, to="/station", **told):
    watched = open_page(browser, served.url, **told)
    return watched, sign_in(watched, name, PASSWORD, to)


def rows(served, table, *which):
    with served.service.record.database.reading() as connection:
        return connection.execute(select(table).where(*which)).mappings().all()


def test_an_inspector_reviews_fifty_images_by_keyboard_alone_and_undoes_one(browser, queue):
    watched, page = at(browser, queue, "ann", "/station/review")
    ann = Reviewer(page)
    for key in itertools.islice(itertools.cycle("pp1pr2pu"), 50):
        ann.judge(key)
    ann.settle_down()
    given = rows(queue, verdicts, verdicts.c.person == "ann")
    assert {each["item_id"] for each in given} == set(ann.judged)
    assert len(set(ann.judged)) == 50
    last, before = ann.judged[-1], ann.item
    page.keyboard.press("z")
    page.wait_for_selector(f'[data-viewer][data-item="{last}"][data-shown*="{last}"]')
    withdrawn = rows(queue, verdicts, verdicts.c.item_id == last, verdicts.c.choice == "withdrawn")
    assert len(withdrawn) == 1
    assert not rows(queue, review_items, review_items.c.id == last, review_items.c.closed_ms.is_not(None))
    ann.judge("r")
    ann.settle_down()
    assert ann.item == before
    (standing,) = [
        each
        for each in rows(queue, verdicts, verdicts.c.item_id == last, verdicts.c.saw_score)
        if each["choice"] == "reject"
    ]
    assert standing["person"] == "ann"
    assert queue.service.record.audit.verify() > 50
    assert not watched.wrong
    page.context.close()


def test_a_blind_look_gets_neither_score_nor_heatmap_before_the_verdict(browser, queue):
    watched, page = at(browser, queue, "bea", "/station/review")
    answers = []
    page.on("response", lambda answer: answers.append(answer))
    bea = Reviewer(page)
    for _ in range(40):
        if bea.is_blind:
            break
        bea.judge("p")
    assert bea.is_blind
    item = bea.item
    told = page.request.get(f"{queue.url}/station/review/items/{item}").json()
    assert told["pictures"]["deviation"] is None
    assert "score" not in told["html"].lower().replace("score and heatmap are shown", "")
    for picture in ("deviation", "expected"):
        assert page.request.get(f"{queue.url}/station/review/items/{item}/{picture}.png").status == 403
    (about,) = rows(queue, review_items, review_items.c.id == item)
    beside = page.request.get(f"{queue.url}/station/inspections/{about['inspection_id']}")
    assert beside.status == 403
    assert page.request.get(f"{queue.url}/station/pictures/{about['inspection_id']}/deviation.png").status == 403
    assert not [each for each in answers if item in each.url and "deviation" in each.url]
    bea.judge("p")
    for _ in range(200):
        if any(item in each.url and "deviation" in each.url and each.status == 200 for each in answers):
            break
        page.wait_for_timeout(50)
    else:
        raise AssertionError("the deviation is not shown after the verdict")
    bea.settle_down()
    both = rows(queue, verdicts, verdicts.c.item_id == item)
    assert sorted(each["saw_score"] for each in both) == [False, True]
    assert not watched.wrong
    page.context.close()


def test_an_inspector_audits_what_passed_and_an_engineer_arbitrates_what_the_audit_found(browser, queue):
    audited, disputed = review_items.c.purpose == "audit", review_items.c.purpose == "arbitration"
    assert rows(queue, review_items, audited)
    watched, page = at(browser, queue, "bea", "/station/review")
    bea = Reviewer(page)
    while not rows(queue, review_items, disputed) and page.locator("[data-nothing]").is_hidden():
        bea.judge("r")
        bea.settle_down()
    assert rows(queue, review_items, audited, review_items.c.closed_ms.is_not(None))
    assert rows(queue, review_items, disputed)
    page.context.close()
    _, page = at(browser, queue, "eve", "/station/arbitration")
    eve = Reviewer(page)
    item = eve.item
    eve.judge("r")
    eve.settle_down()
    (about,) = rows(queue, review_items, review_items.c.id == item)
    settled = rows(queue, settlements, settlements.c.inspection_id == about["inspection_id"])
    newest = max(settled, key=lambda each: each["seq"])
    assert (newest["disposition"], newest["settled_by"]) == ("REJECT", "eve")
    assert not watched.wrong
    page.context.close()


def test_an_inspector_settles_a_wafer_from_its_map(browser, busy_station):
    watched, page = at(browser, busy_station, "ann", "/station")
    page.get_by_role("link", name="WF-000126").first.click()
    page.wait_for_url("**/station/wafers/WF-000126")
    marks = page.locator("svg.map.large a")
    assert marks.count() >= 19
    marks.first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => document.activeElement.closest('svg.map') !== null")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-viewer][data-shown]")
    page.go_back()
    details = page.locator("details", has_text="Settle")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    page.locator("[name=disposition][value=REJECT]").check()
    page.get_by_label("Why").fill("residue on the left")
    page.get_by_role("button", name="Settle", exact=True).click()
    page.wait_for_selector("text=WF-000126 is settled as REJECT.")
    with busy_station.service.record.database.reading() as connection:
        settled = newest_disposition(connection, "WF-000126")
    assert (settled.disposition, settled.reason, settled.settled_by) == ("REJECT", "residue on the left", "ann")
    assert not watched.wrong
    page.context.close()


def test_an_engineer_tries_a_band_on_last_week_and_sets_it(browser, busy_station):
    watched, page = at(browser, busy_station, "eve", "/station/model")
    tried = page.locator("form", has=page.get_by_role("button", name="Try on last week"))
    tried.get_by_label("REVIEW from").fill("3.5")
    tried.get_by_label("REJECT from").fill("12")
    tried.get_by_role("button").click()
    page.wait_for_url("**/station/model?review=3.5&reject=12")
    with busy_station.service.record.database.reading() as connection:
        scored = connection.exec_driver_sql(
            "SELECT count(*), sum(score < 3.5), sum(score >= 12) FROM inspections WHERE score IS NOT NULL"
        ).one()
    shown = page.locator("table").first.locator("tbody tr td:nth-child(3) b").all_inner_texts()
    shown = [int(text.replace("\u202f", "")) for text in shown]
    assert shown == [scored[1], scored[0] - scored[1] - scored[2], scored[2]]
    page.get_by_label("Why").fill("too many false alarms at the edge")
    page.get_by_role("button", name="Set this band").click()
    page.wait_for_selector("text=REVIEW now begins at 3.5, REJECT at 12.")
    service = busy_station.service
    with service.record.database.reading() as connection:
        band = newest_band(connection, service.pool.model_version)
    assert (band.review_threshold, band.reject_threshold, band.set_by) == (3.5, 12, "eve")
    assert service.models.thresholds_of(service.pool.model_version).review == 3.5
    page.goto(f"{busy_station.url}/station/audit?verify=true")
    assert page.locator("text=Unbroken.").is_visible()
    assert page.locator("tr", has_text="review band set").first.locator("td").nth(2).inner_text() == "eve"
    assert not watched.wrong
    page.context.close()


def test_an_administrator_adds_a_person_who_then_signs_in_and_is_disabled_again(browser, busy_station):
    watched, page = at(browser, busy_station, "ada", "/station/people")
    page.get_by_text("Add a person").click()
    page.locator("#user-name").fill("zoe")
    page.locator("#user-role").select_option("inspector")
    page.locator("#user-password").fill("a first password")
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_selector("text=zoe may sign in as inspector.")
    other = open_page(browser, busy_station.url)
    theirs = sign_in(other, "zoe", "a first password")
    page.get_by_role("button", name="Disable zoe").click()
    page.wait_for_selector("text=zoe may sign in no longer.")
    theirs.goto(f"{busy_station.url}/station")
    assert "/station/sign-in" in theirs.url
    users = {user.name: user for user in busy_station.service.record.accounts.all_users()}
    assert (users["zoe"].role, users["zoe"].disabled_ms is not None) == (Role.INSPECTOR, True)
    assert not watched.wrong
    for each in (page, theirs):
        each.context.close()


def test_an_engineer_labels_a_group_of_the_atlas_in_one_act(browser, busy_station):
    from waferlens.web.models import move_band

    service = busy_station.service
    move_band(service, "tests", -1e9, -1e9, reason="everything is rejected")
    camera = busy_station.client()
    for number, (_, data) in enumerate(itertools.islice(images().items(), 60)):
        camera.inspect(data, f"WF-ATLAS{number // 10}", number % 10, product=PRODUCT)
    camera.close()
    watched, page = at(browser, busy_station, "eve", "/station/atlas")
    group = page.locator(".group-card").first
    images_of_it = [box.get_attribute("value") for box in group.locator("[name=images]").all()]
    assert len(images_of_it) >= 2
    group.locator("[name=new_class]").fill("dried_film")
    group.get_by_role("button", name="Label").click()
    page.wait_for_selector("text=reject, dried_film")
    labelled = rows(busy_station, settlements, settlements.c.inspection_id.in_(images_of_it))
    assert {each["inspection_id"] for each in labelled} == set(images_of_it)
    said = rows(busy_station, verdicts, verdicts.c.person == "eve", verdicts.c.defect_class == "dried_film")
    assert sorted(each["inspection_id"] for each in said) == sorted(images_of_it)
    assert not watched.wrong
    page.context.close()


def test_an_idle_screen_covers_itself_and_keeps_what_was_typed(browser, busy_station):
    watched, page = at(browser, busy_station, "ann", "/station/wafers/WF-000125")
    watched.allowed = {401}
    details = page.locator("details", has_text="Settle")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    page.get_by_label("Why").fill("half a sentence")
    page.get_by_role("button", name="Lock").click()
    page.wait_for_selector("dialog#lock[open]")
    assert not page.get_by_role("heading", name="WF-000125").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("dialog#lock[open]").is_visible()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The password is wrong.")
    page.locator("#lock-password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog#lock:not([open])", state="attached")
    assert page.get_by_label("Why").input_value() == "half a sentence"
    assert not watched.wrong
    page.context.close()


def test_the_line_renews_itself(browser, busy_station, drawn):
    watched, page = at(browser, busy_station, "ann")
    camera = busy_station.client()
    camera.inspect(next(iter(drawn.values())), "WF-JUST-NOW", 0, product=PRODUCT)
    camera.close()
    page.wait_for_selector("text=WF-JUST-NOW", timeout=15_000)
    assert not watched.wrong
    page.context.close()


def test_the_colours_follow_the_system_or_the_choice(browser, busy_station):
    watched, page = at(browser, busy_station, "ann", colours="dark")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    for _ in range(2):  # auto, dark, light
        page.locator(".bar button[name=theme]").click()
        page.wait_for_load_state()
    assert page.evaluate(ground) != dark
    page.reload()
    assert page.evaluate(ground) != dark
    assert not watched.wrong
    page.context.close()

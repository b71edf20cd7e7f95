"""The watch in the station: an alarm is taken, named and cleared by people, and the record says so."""

from __future__ import annotations

import pytest
from busy import PASSWORD
from sqlalchemy import select
from watch_line import crowd_of, lamp, watch_everything

import line
from browser import open_page, sign_in
from waferlens.review.classes import Taxonomy
from waferlens.storage.audit import AuditLog
from waferlens.storage.review_tables import verdicts
from waferlens.storage.watch_tables import alarms
from waferlens.wiring.watch import conclude

PARTS = ("/station/watch", "/station/watch/drift", "/station/watch/signatures", "/station/watch/escapes",
         "/station/watch/report")  # fmt: skip


def alarm_of(served, seq: int) -> dict:
    with served.service.record.database.reading() as connection:
        return dict(connection.execute(select(alarms).where(alarms.c.seq == seq)).mappings().one())


@pytest.mark.parametrize("path", PARTS)
def test_before_the_first_run_a_page_says_what_to_run(visit, path):
    text = visit("ann").get(path).text
    assert "waferlens monitor" in text
    assert "--home" in text


def test_an_alarm_that_is_not_there_is_not_found(visit):
    assert visit("ann").get("/station/watch/alarms/99").status == 404


def test_only_a_new_kind_is_named_and_only_with_a_name(visit, served_station):
    with served_station.client() as client:
        for number in range(8):
            client.inspect(line.png(250, seed=number), f"WF-NEW{number}", 0)
    (seq,) = conclude(served_station.service.record.database, "novel", [crowd_of(served_station)])
    image = crowd_of(served_station).detail["members"][0]
    eve, path = visit("eve"), f"/station/watch/alarms/{seq}/name"
    page = eve.post(path, {"images": image, "key": "k1"})
    assert (page.status, "has no name" in page.text) == (409, True)
    assert eve.post(path, {"images": image, "key": "k2", "new_class": "Bad Name"}).status == 422
    assert visit("ann").post(path, {"images": image, "key": "k3", "new_class": "x"}).status == 403
    assert alarm_of(served_station, seq)["acknowledged_by"] is None
    (lamp_seq,) = conclude(served_station.service.record.database, "drift", [lamp()])
    told = {"images": image, "key": "k4", "new_class": "x"}
    assert eve.post(f"/station/watch/alarms/{lamp_seq}/name", told).status == 409


@pytest.mark.slow
def test_an_engineer_names_a_new_kind_and_clears_its_alarm(browser, busy_station):
    watch_everything(busy_station)
    record = busy_station.service.record
    with record.database.reading() as connection:
        seq = connection.execute(select(alarms.c.seq).where(alarms.c.kind == "novel")).scalar_one()
    watched = open_page(browser, busy_station.url)
    page = sign_in(watched, "eve", PASSWORD, "/station/watch")
    page.get_by_role("link", name="a kind of defect that nobody has named").first.click()
    page.wait_for_url(f"**/station/watch/alarms/{seq}")
    assert page.get_by_text("first appearance").is_visible()
    ticks = page.locator('input[name="images"]')
    assert ticks.count() == 6
    ticks.last.uncheck()
    left_out = ticks.last.get_attribute("value")
    page.get_by_label("Name it: a new class").fill("dried_residue")
    page.keyboard.press("Enter")
    page.get_by_text("5 images are dried residue from now on.").wait_for()
    taken = alarm_of(busy_station, seq)
    assert (taken["acknowledged_by"], taken["cleared_by"]) == ("eve", None)
    with record.database.reading() as connection:
        query = select(verdicts.c.inspection_id).where(verdicts.c.defect_class == "dried_residue")
        named = set(connection.execute(query).scalars())
    assert len(named) == 5
    assert left_out not in named
    taxonomy: Taxonomy = busy_station.service.review.taxonomy
    assert "dried_residue" in {each.name for each in taxonomy.in_use()}
    page.get_by_role("button", name="Clear it").press("Enter")
    page.get_by_text("Cleared: a kind of defect").wait_for()
    assert alarm_of(busy_station, seq)["cleared_by"] == "eve"
    page.goto(busy_station.url + "/station/watch")
    assert page.locator("section", has_text="Past alarms").get_by_text("nobody has named").is_visible()
    audit: AuditLog = record.audit
    assert audit.verify() > 3
    assert not watched.wrong
    page.context.close()

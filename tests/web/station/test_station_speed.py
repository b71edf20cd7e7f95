"""With 100,000 inspections stored: the next image on the screen, the overview, two browsers, a killed service."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from dataclasses import replace

import pytest
from busy import PASSWORD, PEOPLE, a_real_service, send
from reviewer import Reviewer
from sqlalchemy import insert, select

import line
from browser import open_page, sign_in
from waferlens.records import DecisionKind
from waferlens.storage.inspections import InspectionFilter, _row_of, page_of_inspections
from waferlens.storage.review_tables import review_items, verdicts
from waferlens.storage.schema import inspections, renderings
from waferlens.storage.stored import new_id

pytestmark = pytest.mark.slow

NUM_STORED, AT_ONCE, NUM_POINTS = 100_000, 5_000, 57
EVERY = 40  # one in so many is in doubt
SPREAD_MS = 11 * 3_600_000


def fill(service) -> None:
    """The inspections of a shift, each a copy of a real one with its image and pictures."""
    with service.record.database.reading() as connection:
        real = page_of_inspections(connection, InspectionFilter(failed=False), limit=50)
        drawn = {row.inspection_id: row for row in connection.execute(select(renderings))}
    now_ms = time.time_ns() // 1_000_000
    for start in range(0, NUM_STORED, AT_ONCE):
        copies, pictures = [], []
        for number in range(start, start + AT_ONCE):
            model = real[number % len(real)]
            received_ms = now_ms - SPREAD_MS + SPREAD_MS * number // NUM_STORED
            wafer, point = divmod(number, NUM_POINTS)
            doubtful = number % EVERY == 0
            copies.append(replace(
                model, id=new_id(received_ms), received_ms=received_ms, wafer_id=f"WF-{wafer:06d}",
                lot_id=f"LOT-{wafer // 25:05d}", inspection_point=point, idempotency_key=None, request_hash=None,
                decision=DecisionKind.REVIEW if doubtful else DecisionKind.PASS,
            ))  # fmt: skip
            told = drawn[model.id]
            pictures.append({
                "inspection_id": copies[-1].id, "heatmap": told.heatmap, "reconstruction": told.reconstruction,
            })  # fmt: skip
        with service.record.database.writing() as connection:
            connection.execute(insert(inspections), [_row_of(each) for each in copies])
            connection.execute(insert(renderings), pictures)
    with service.record.database.writing() as connection:
        connection.exec_driver_sql("ANALYZE")


@pytest.fixture(scope="module")
def full_station(tmp_path_factory, exported, drawn):
    home = tmp_path_factory.mktemp("full")
    with a_real_service(home, exported) as service, line.listening(service) as served:
        send(served, drawn)
        fill(service)
        service.review.begin()  # as at every start: what was recorded elsewhere gets its looks
        yield served


def test_the_next_image_is_on_the_screen_within_200_ms_at_the_median(browser, full_station, record_property):
    watched = open_page(browser, full_station.url)
    ann = Reviewer(sign_in(watched, "ann", PASSWORD, "/station/review"))
    ann.measure()
    for key in itertools.islice(itertools.cycle("pppr"), 60):
        ann.judge(key)
        watched.page.wait_for_timeout(150)  # nobody judges faster
    took = sorted(ann.took())
    ann.settle_down()
    print(
        f"key to next image, {len(took)} images: median {statistics.median(took):.0f} ms, 90 % {took[-6]:.0f} ms"
    )
    assert len(took) >= 40
    assert statistics.median(took) < 200
    assert not watched.wrong
    watched.page.context.close()


def test_the_overview_opens_within_half_a_second(browser, full_station):
    watched = open_page(browser, full_station.url)
    page = sign_in(watched, "eve", PASSWORD, "/station/wafers")
    took = []
    for _ in range(7):
        time.sleep(2.1)  # so that nothing that was counted before is shown again
        page.goto(f"{full_station.url}/station", wait_until="load")
        took.append(page.evaluate("() => performance.getEntriesByType('navigation')[0].loadEventEnd"))
    print(f"overview, 100,000 inspections: median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms")
    assert statistics.median(took) < 500
    assert not watched.wrong
    page.context.close()


def test_two_people_at_once_never_get_the_same_look_and_lose_no_verdict(browser, full_station):
    people = [
        Reviewer(sign_in(open_page(browser, full_station.url), name, PASSWORD, "/station/review"))
        for name in ("ann", "bea")
    ]
    for key in itertools.islice(itertools.cycle("pr"), 15):
        for person in people:
            person.judge(key)
    for person in people:
        person.settle_down()
    with full_station.service.record.database.reading() as connection:
        rows = connection.execute(select(verdicts)).mappings().all()
        items = {row.id: row.claimed_by for row in connection.execute(select(review_items))}
    for person, name in zip(people, ("ann", "bea"), strict=True):
        assert len(set(person.judged)) == 15
        assert {each["person"] for each in rows if each["item_id"] in person.judged} == {name}
        assert {items[item] for item in person.judged} == {name}
        assert set(person.judged) <= {each["item_id"] for each in rows}
        person.page.context.close()
    assert not set(people[0].judged) & set(people[1].judged)


def test_a_service_killed_between_key_and_answer_has_the_verdict_or_asks_again(
    browser, exported, tmp_path, drawn, num_kills
):
    """The harm would be a verdict that is lost, or two. Killed at once, then a little later each time."""
    from processes import ServiceProcess

    from waferlens.storage.accounts import Role
    from waferlens.web.client import Client
    from waferlens.wiring.record import open_record

    home = tmp_path / "home"
    record = open_record(home)
    for name, role in PEOPLE.items():
        record.accounts.create_user(name, role, PASSWORD, "tests")
    key = record.accounts.create_key("camera", Role.STATION, "tests")
    (home / "service.toml").write_text("[review]\ninclude_reject = true\naudit_share = 1\nblind_share = 0\n")
    process = ServiceProcess(exported, home)
    process.start()
    try:
        with Client(process.url, key) as camera:
            for number, data in enumerate(itertools.islice(drawn.values(), 3 * num_kills + 3)):
                camera.inspect(data, "WF-KILLED", number)
        watched = open_page(browser, process.url)
        person = Reviewer(sign_in(watched, "ann", PASSWORD, "/station/review"))
        for number in range(num_kills):
            person.judge("p")
            item, blind = person.item, person.is_blind
            watched.page.keyboard.press("r")
            time.sleep(0.02 * number)
            process.kill()
            process.start()
            if blind:
                watched.page.wait_for_selector(
                    "[data-confirm]:not([hidden])", timeout=60_000
                )  # a service starts in between
                watched.page.keyboard.press("Enter")
            person.judged.append(item)
            person.wait_for_another(item)
        person.settle_down()
        watched.page.context.close()
    finally:
        process.stop()
    with record.database.reading() as connection:
        given = connection.execute(select(verdicts)).mappings().all()
    by_item = {item: [each for each in given if each["item_id"] == item] for item in person.judged}
    for told in by_item.values():
        final = [each for each in told if each["saw_score"] or len(told) == 1]
        assert len(final) == 1, json.dumps([dict(each) for each in told], default=str)
    assert record.audit.verify() > 0
    record.database.close()

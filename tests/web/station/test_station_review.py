"""Inspectors and engineers at work in a real browser; after each job the database is asked what was kept."""

from __future__ import annotations

import json
import statistics
from contextlib import contextmanager

import pytest
from review_pages import Person, post, with_people

import line
from waferlens.records import DecisionKind, Label
from waferlens.settings.service import ServiceSettings
from waferlens.storage.accounts import Identity, Role
from waferlens.storage.review_stored import Choice
from waferlens.storage.review_verdicts import newest_settlement

pytestmark = pytest.mark.slow

EVE = Identity(name="eve", role=Role.ENGINEER)
NOTHING_DRAWN = {"double_share": 0, "blind_share": 0, "audit_share": 0, "known_share": 0}
DOUBT, GOOD, WHITE = 150, 30, 230


@contextmanager
def station(browser, tmp_path, greys, **options):
    """A service with images of these grey values; whoever came with a browser leaves at the end."""
    settings = ServiceSettings.model_validate({"review": NOTHING_DRAWN | options})
    with line.a_service(tmp_path, settings=settings) as service:
        with_people(service)
        with line.listening(service) as served:
            inspected = post(served, greys)
            line.wait_until(lambda: service.renderer.num_pending() == 0)
            try:
                yield served, service, [each["id"] for each in inspected]
            finally:
                for context in browser.contexts:
                    context.close()


def held(service, inspection_id):
    with service.record.database.reading() as connection:
        found = newest_settlement(connection, inspection_id)
    return None if found is None else (found.disposition, found.defect_class)


def said(service, inspection_id):
    return [(each.person, each.choice) for each in service.review.verdicts.history_of(inspection_id)]


def test_fifty_images_are_reviewed_by_keyboard_alone_and_one_is_undone(browser, tmp_path):
    keys = {"p": Choice.PASS, "r": Choice.REJECT, "1": Choice.REJECT, "2": Choice.REJECT, "u": Choice.UNSURE}
    pressed = [list(keys)[number % len(keys)] for number in range(50)]
    with station(browser, tmp_path, [DOUBT] * 51, blind_share=0.2) as (served, service, ids):
        ann = Person(browser, served.url, "ann")
        for key in pressed:
            ann.press(key)
        ann.all_kept()
        kept = [said(service, each)[-1] for each in ids[:50]]
        assert kept == [("ann", keys[key]) for key in pressed]
        assert held(service, ids[2]) == (DecisionKind.REJECT, "scratch")
        assert said(service, ids[50]) == []

        ann.page.keyboard.press("z")
        ann.page.wait_for_function(
            "() => document.querySelector('[data-told]').textContent.includes('Taken back')"
        )
        ann.page.keyboard.press("n")
        ann.page.keyboard.type("p r 1 are letters here")
        ann.page.keyboard.press("Escape")
        ann.press("p")
        ann.all_kept()
        history = service.review.verdicts.history_of(ids[49])
        assert [each.choice for each in history][-3:] == ["unsure", "withdrawn", "pass"]
        assert history[-1].note == "p r 1 are letters here"
        assert held(service, ids[49]) == (DecisionKind.PASS, None)
        assert service.record.audit.verify() > 50
        ann.close()


def test_a_blind_image_is_sent_without_anything_that_the_model_made(browser, tmp_path):
    with station(browser, tmp_path, [DOUBT] * 2, blind_share=1) as (served, service, ids):
        ann = Person(browser, served.url, "ann", path="/station/figures")
        sent = []
        ann.page.on("response", lambda answer: sent.append(answer))
        ann.page.goto(f"{served.url}/station/review")
        item = ann.item()
        with service.record.database.reading() as connection:
            from waferlens.storage.inspections import find_inspection

            score = find_inspection(connection, ids[0]).score
        told = b" ".join(
            answer.body()
            for answer in sent
            if f"{served.url}/station/review" in answer.url and not answer.url.endswith(".png")
        )
        assert b"Blind" in told
        for secret in (
            f"{score:.2f}".encode(),
            b"deviation.png",
            b"expected.png",
            ids[0].encode(),
            b"tag REVIEW",
        ):
            assert secret not in told
        assert not any("deviation" in answer.url or "expected" in answer.url for answer in sent)
        for picture in ("expected", "deviation"):
            answer = ann.context.request.get(f"{served.url}/station/review/items/{item}/{picture}.png")
            assert answer.status == 403
        ann.page.keyboard.press("r")
        ann.page.wait_for_selector("[data-confirm]:not([hidden])")
        assert "You said REJECT" in ann.page.inner_text("[data-told]")
        ann.page.wait_for_function(
            "() => document.querySelector('[data-beside]').textContent.includes('REVIEW from')"
        )
        ann.page.keyboard.press("p")
        ann.page.wait_for_function(f"() => document.querySelector('[data-viewer]').dataset.item !== '{item}'")
        ann.all_kept()
        history = service.review.verdicts.history_of(ids[0])
        assert [(each.choice, each.saw_score) for each in history] == [("reject", False), ("pass", True)]
        assert service.review.queue.waiting().num_arbitrations == 1
        ann.close()


def test_an_engineer_arbitrates_what_an_inspector_is_unsure_of(browser, tmp_path):
    with station(browser, tmp_path, [DOUBT]) as (served, service, ids):
        ann = Person(browser, served.url, "ann")
        ann.press("u")
        ann.all_kept()
        assert ann.context.request.get(f"{served.url}/station/arbitration").status == 403
        ann.close()
        eve = Person(browser, served.url, "eve", path="/station/arbitration")
        eve.item()
        assert "unsure" in eve.page.inner_text("[data-beside]")
        assert "ann" not in eve.page.inner_text("[data-beside]").split()
        eve.press("2")
        eve.all_kept()
        assert held(service, ids[0]) == (DecisionKind.REJECT, "particle")
        eve.close()


def test_what_passed_is_audited(browser, tmp_path):
    with station(browser, tmp_path, [GOOD] * 2, audit_share=1) as (served, service, ids):
        ann = Person(browser, served.url, "ann")
        ann.press("p")
        ann.press("r")
        ann.all_kept()
        assert [held(service, each)[0] for each in ids] == [DecisionKind.PASS, DecisionKind.REVIEW]
        assert service.review.queue.waiting().num_arbitrations == 1
        ann.close()


def test_a_group_of_the_atlas_is_labelled_with_a_new_class_and_taken_back(browser, tmp_path):
    with station(browser, tmp_path, [WHITE] * 6 + [DOUBT] * 6 + [GOOD] * 6) as (served, service, _):
        eve = Person(browser, served.url, "eve", path="/station/atlas")
        group = eve.page.locator(".group-card").first
        boxes = group.locator("[name=images]")
        boxes.first.uncheck()
        left, *wanted = [boxes.nth(number).get_attribute("value") for number in range(boxes.count())]
        group.locator("[name=new_class]").fill("haze_ring")
        group.locator("[name=new_class]").press("Enter")
        eve.page.wait_for_selector(".said")
        assert f"{len(wanted)} images" in eve.page.inner_text(".said")
        assert {held(service, each) for each in wanted} == {(DecisionKind.REJECT, "haze_ring")}
        assert held(service, left) is None
        assert [each.name for each in service.review.taxonomy.in_use()][-1] == "haze_ring"
        eve.page.get_by_role("button", name="Undo my last label").press("Enter")
        eve.page.wait_for_function("() => document.querySelector('.said')?.textContent.includes('taken back')")
        assert {held(service, each)[1] for each in wanted} == {None}
        eve.close()


def test_two_browsers_never_have_the_same_image(browser, tmp_path):
    with station(browser, tmp_path, [DOUBT] * 24) as (served, service, ids):
        people = [Person(browser, served.url, name) for name in ("ann", "bob")]
        seen = [[], []]
        for _ in range(11):
            for number, person in enumerate(people):
                seen[number].append(person.item())
                person.press("p")
        for person in people:
            person.all_kept()
        assert len(seen[0]) + len(seen[1]) == len(set(seen[0] + seen[1])) == 22
        kept = [said(service, each) for each in ids]
        assert sorted(map(len, kept))[-22:] == [1] * 22
        for person in people:
            person.close()


def test_a_verdict_whose_answer_is_lost_is_kept_once_and_none_is_lost(browser, tmp_path):
    """The first answers never arrive: half of the requests reach the service and half do not."""
    with station(browser, tmp_path, [DOUBT] * 6) as (served, service, ids):
        ann = Person(browser, served.url, "ann")
        tried = {}

        def lose_the_first_answer(route):
            key = route.request.post_data_json["key"]
            tried[key] = tried.get(key, 0) + 1
            if tried[key] == 1:
                if len(tried) % 2:
                    route.fetch()
                route.abort()
            else:
                route.continue_()

        ann.page.route("**/verdict", lose_the_first_answer)
        for key in "prp1":
            ann.press(key)
        ann.all_kept()
        assert set(tried.values()) == {2}
        assert [len(said(service, each)) for each in ids] == [1, 1, 1, 1, 0, 0]
        ann.troubles.clear()  # the browser tells of the lost answers
        ann.close()


def test_what_was_not_answered_yet_survives_a_reload(browser, tmp_path):
    with station(browser, tmp_path, [DOUBT] * 3) as (served, service, ids):
        ann = Person(browser, served.url, "ann")
        ann.page.route("**/verdict", lambda route: route.abort())
        ann.press("r")
        ann.page.unroute("**/verdict")
        ann.page.reload()
        ann.all_kept()
        line.wait_until(lambda: said(service, ids[0]) == [("ann", Choice.REJECT)])
        ann.troubles.clear()
        ann.close()


def test_an_image_for_later_waits_and_another_one_comes(browser, tmp_path):
    with station(browser, tmp_path, [DOUBT] * 3) as (served, service, ids):
        ann = Person(browser, served.url, "ann")
        first = ann.item()
        ann.page.keyboard.press(" ")
        ann.page.wait_for_function(f"() => document.querySelector('[data-viewer]').dataset.item !== '{first}'")
        ann.press("p")
        ann.all_kept()
        assert [len(said(service, each)) for each in ids] == [0, 1, 0]
        ann.close()


def test_figures_of_a_person_are_not_shown_to_another(browser, tmp_path):
    with station(browser, tmp_path, [DOUBT] * 2) as (served, _service, _ids):
        ann = Person(browser, served.url, "ann")
        ann.press("p")
        ann.all_kept()
        answers = {}
        for name in ("ann", "bob", "eve"):
            person = Person(browser, served.url, name, path="/station/figures")
            answers[name] = person.context.request.get(f"{served.url}/station/figures/ann").status
            assert person.page.locator("#people").count() == (name == "eve")
            person.close()
        assert answers == {"ann": 200, "bob": 403, "eve": 200}
        ann.close()


def test_an_engineer_manages_classes_and_known_answers(browser, tmp_path):
    with station(browser, tmp_path, [DOUBT, DOUBT], known_share=1) as (served, service, ids):
        eve = Person(browser, served.url, "eve", path="/station/classes")
        eve.page.fill("#class-name", "void")
        eve.page.press("#class-name", "Enter")
        eve.page.wait_for_selector(".said")
        eve.page.fill("#known-id", ids[1])
        eve.page.select_option("#known-class", "void")
        eve.page.fill("#known-source", "planted")
        eve.page.press("#known-source", "Enter")
        eve.page.wait_for_function("() => document.querySelector('.said')?.textContent.includes('known')")
        (known,) = service.review.known.all_answers(EVE)
        assert (known.inspection_id, known.truth, known.defect_class) == (ids[1], Label.DEFECTIVE, "void")
        ann = Person(browser, served.url, "ann")
        ann.press("6")
        ann.press("p")
        ann.all_kept()
        reference = service.review.figures.line(service.review.figures.last_days(1)).reference
        assert (reference.missed.num_trials, reference.right_class.num_events) == (1, 1)
        assert ann.context.request.get(f"{served.url}/station/classes").status == 403
        for person in (ann, eve):
            person.close()


def test_the_next_image_is_on_the_screen_within_200_ms_of_the_key(browser, tmp_path):
    """From the key to the frame in which the next image is drawn, 100,000 inspections in doubt beside it."""
    with station(browser, tmp_path, [DOUBT] * 40) as (served, service, ids):
        crowd(service, ids[0])
        ann = Person(browser, served.url, "ann")
        ann.page.evaluate(
            """() => {
              window.took = [];
              let pressed = 0;
              const shown = () => pressed && window.took.push(performance.now() - pressed);
              addEventListener('keydown', () => (pressed = performance.now()), true);
              document.addEventListener('viewer:shown', shown);
            }"""
        )
        for _ in range(30):
            ann.press("p")
            ann.page.wait_for_timeout(250)  # nobody is quicker
        took = json.loads(ann.page.evaluate("() => JSON.stringify(window.took)"))
        print(f"next image after {statistics.median(took):.0f} ms, longest {max(took):.0f} ms, of {len(took)}")
        assert len(took) >= 30
        assert statistics.median(took) < 200
        ann.close()


def crowd(service, like: str) -> None:
    """100,000 more inspections in doubt, younger than those there are."""
    from sqlalchemy import insert

    from waferlens.storage.inspections import _row_of, find_inspection
    from waferlens.storage.review_tables import review_items
    from waferlens.storage.schema import inspections
    from waferlens.storage.stored import StoredInspection, new_id

    with service.record.database.reading() as connection:
        one = find_inspection(connection, like)
    for _ in range(20):
        rows = [
            StoredInspection(
                **vars(one) | {"id": new_id(one.received_ms + 60_000 + number), "wafer_id": "WF-CROWD"}
            )
            for number in range(5_000)
        ]
        items = [item for row in rows for item in service.review.admitting._admission.items_of(row)]
        with service.record.database.writing() as connection:
            connection.execute(insert(inspections), [_row_of(row) for row in rows])
            connection.execute(insert(review_items), [vars(item) | {"purpose": "doubt"} for item in items])

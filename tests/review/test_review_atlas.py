"""Similar images lie together, groups that nobody has named come first, and a group is labelled in one act."""

from __future__ import annotations

import time

import numpy as np
import pytest
from review_examples import (
    ANN,
    BAD,
    BOB,
    EVE,
    GOOD,
    PASS,
    REJECT,
    REVIEW,
    SCRATCH,
    START_MS,
    a_key,
    inspected,
    judged,
    latent,
    next_item,
)
from storage_examples import an_inspection

from waferlens.errors import Conflict, NotFound, OptionsError
from waferlens.records import Label
from waferlens.review.atlas import NO_GROUP, map_of
from waferlens.review.saying import Saying
from waferlens.review.similarity import SettledImages
from waferlens.storage.inspections import insert_inspection
from waferlens.storage.review_stored import Choice, Order, Settlement
from waferlens.storage.review_verdicts import add_settlement, newest_settlement
from waferlens.storage.reviewed import AtlasImage
from waferlens.storage.stored import latent_bytes, new_id

VERSION = "vae-wafer-tiny-v0.1.0"
NOVEL = Saying(choice=Choice.REJECT, defect_class="haze_ring")


def settle(database, disposition, **told):
    inspection = an_inspection(**told)
    settlement = Settlement(
        inspection_id=inspection.id,
        settled_ms=1,
        disposition=disposition,
        defect_class=None,
        reason="r",
        settled_by="ann",
        verdict_id=new_id(),
    )
    with database.writing() as connection:
        insert_inspection(connection, inspection)
        add_settlement(connection, settlement)
    return inspection


def vectors(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 128)).astype(np.float32)


def nearest(images, vector, disposition=REJECT, product="transistor", count=6):
    found = images.similar(vector, VERSION, disposition, product=product, count=count)
    return [each.image.inspection_id for each in found]


def test_the_nearest_settled_images_are_found_exactly(database):
    stored = vectors(40)
    ids = [settle(database, REJECT, latent=latent_bytes(vector)).id for vector in stored]
    images = SettledImages(database, 100)
    for query in vectors(5, seed=1):
        expected = np.argsort(np.linalg.norm(stored - query, axis=1))[:6]
        assert nearest(images, query) == [ids[row] for row in expected]
    found = images.similar(stored[3], VERSION, REJECT, product="transistor", count=1)
    assert (found[0].image.inspection_id, found[0].distance) == (ids[3], 0.0)


def test_only_images_of_the_same_model_product_and_disposition_are_compared(database):
    one = settle(database, REJECT, latent=latent(1.0))
    settle(database, REJECT, latent=latent(1.0), product="memory")
    settle(database, REJECT, latent=latent(1.0), model_version="other")
    settle(database, PASS, latent=latent(1.0))
    settle(database, REJECT, latent=None, score=None)
    assert nearest(SettledImages(database, 100), np.zeros(128, np.float32)) == [one.id]


def test_what_is_settled_later_is_found_and_what_is_settled_otherwise_moves_over(database, review):
    images = SettledImages(database, 100)
    assert nearest(images, np.zeros(128, np.float32)) == []
    inspection = inspected(database, review, latent=latent(1.0))
    judged(review, BAD)
    assert nearest(images, np.zeros(128, np.float32)) == [inspection.id]
    review.verdicts.undo(ANN, key=a_key())
    judged(review, GOOD)
    assert nearest(images, np.zeros(128, np.float32)) == []
    assert nearest(images, np.zeros(128, np.float32), PASS) == [inspection.id]


def test_the_oldest_are_forgotten_where_there_is_no_more_room(database):
    images, ids = SettledImages(database, 10), []
    for vector in vectors(25):
        ids.append(settle(database, REJECT, latent=latent_bytes(vector)).id)
        nearest(images, vector)
    assert sorted(nearest(images, vectors(1)[0], count=100)) == sorted(ids[-10:])


def test_twenty_thousand_images_are_searched_in_a_moment(database):
    if not database.is_sqlite:
        pytest.skip("the search itself knows no database")
    stored = vectors(20_000)
    from sqlalchemy import insert

    from waferlens.storage.inspections import _row_of
    from waferlens.storage.review_tables import settlements
    from waferlens.storage.schema import inspections

    rows = [an_inspection(latent=latent_bytes(vector)) for vector in stored]
    with database.writing() as connection:
        connection.execute(insert(inspections), [_row_of(row) for row in rows])
        told = {"settled_ms": 1, "disposition": "REJECT", "reason": "r", "settled_by": "a", "verdict_id": "v"}
        connection.execute(insert(settlements), [{"inspection_id": row.id} | told for row in rows])
    images = SettledImages(database, 20_000)
    nearest(images, stored[0])
    took = []
    for query in vectors(5, seed=1):
        started = time.perf_counter()
        found = nearest(images, query)
        took.append(time.perf_counter() - started)
        assert found[0] == rows[int(np.argmin(np.linalg.norm(stored - query, axis=1)))].id
    assert min(took) < 0.1


def image(number, vector, **told):
    usual = {
        "inspection_id": f"{number:032x}",
        "wafer_id": f"WF-{number}",
        "lot_id": None,
        "inspection_point": 0,
        "received_ms": number,
        "score": 5.0,
        "disposition": REJECT,
        "defect_class": None,
        "settled": False,
        "latent": latent_bytes(vector.astype(np.float32)),
    }
    return AtlasImage(**usual | told)


def groups_of_images(rng):
    """Two kinds of defects, one of them named, and a few images that are like nothing."""
    named, unnamed = np.zeros(128), np.zeros(128)
    named[0], unnamed[1] = 8.0, 8.0
    images = [image(n, named + rng.normal(0, 0.3, 128), defect_class="scratch") for n in range(12)]
    images += [image(n, unnamed + rng.normal(0, 0.3, 128)) for n in range(12, 22)]
    return images + [image(n, rng.normal(0, 6, 128)) for n in range(22, 26)]


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return map_of(groups_of_images(rng), rng.normal(size=(200, 128)).astype(np.float32))


def test_kinds_of_defects_are_groups_and_those_that_nobody_has_named_come_first(drawn):
    assert [len(group.inspection_ids) for group in drawn.groups] == [10, 12]
    first, second = drawn.groups
    assert (first.classes, first.num_unnamed, first.num_wafers) == ({}, 10, 10)
    assert (second.classes, second.num_unnamed) == ({"scratch": 12}, 0)
    assert (first.first_ms, first.last_ms) == (12, 21)
    assert set(first.inspection_ids) == {f"{number:032x}" for number in range(12, 22)}


def test_images_of_a_group_lie_together_on_the_map(drawn):
    middles = {}
    for group in drawn.groups:
        places = np.array([[each.x, each.y] for each in drawn.placed if each.group == group.number])
        middles[group.number] = places.mean(axis=0)
        assert np.linalg.norm(places - places.mean(axis=0), axis=1).max() < 0.3
    one, other = middles.values()
    assert np.linalg.norm(one - other) > 0.6
    assert all(abs(each.x) <= 1 and abs(each.y) <= 1 for each in drawn.placed)
    assert any(each.group == NO_GROUP for each in drawn.placed)


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_a_few_images_are_placed_and_are_no_group(n):
    rng = np.random.default_rng(1)
    drawn = map_of([image(k, rng.normal(size=128)) for k in range(n)], np.zeros((0, 0), np.float32))
    assert (len(drawn.placed), drawn.groups) == (n, ())
    assert drawn.why_no_groups


def test_images_that_are_all_alike_are_drawn_too():
    drawn = map_of([image(k, np.ones(128)) for k in range(8)], np.ones((5, 128), np.float32))
    assert all(np.isfinite([each.x, each.y]).all() for each in drawn.placed)


def test_the_atlas_shows_what_was_doubted_or_rejected_since_and_no_known_answers(database, review):
    shown = [inspected(database, review, kind) for kind in (REVIEW, REJECT)]
    inspected(database, review, PASS)
    inspected(database, review, REVIEW, latent=None, score=None, failure="image")
    known = inspected(database, review)
    review.known.add(EVE, known.id, Label.NORMAL, source="s")
    drawn = review.atlas.map_of(VERSION, since_ms=START_MS)
    assert {each.image.inspection_id for each in drawn.placed} == {each.id for each in shown}
    assert review.atlas.map_of("other", since_ms=START_MS).placed == ()
    assert review.atlas.map_of(VERSION, since_ms=shown[1].received_ms + 1).placed == ()


def test_what_the_audit_found_is_in_the_atlas_with_its_class(database, a_review):
    review = a_review(audit_share=1)
    inspected(database, review, PASS)
    judged(review, SCRATCH)
    judged(review, SCRATCH, EVE, arbitrations=True)
    (placed,) = review.atlas.map_of(VERSION, since_ms=START_MS).placed
    assert (placed.image.defect_class, placed.image.settled, placed.image.disposition) == ("scratch", True, REJECT)


def held(database, inspection):
    with database.reading() as connection:
        return newest_settlement(connection, inspection.id)


def test_an_engineer_labels_a_whole_group_in_one_act(database, review, audit):
    group = [inspected(database, review, kind) for kind in (REVIEW, REJECT, REVIEW)]
    judged(review, GOOD, ANN)
    review.taxonomy.add(EVE, "haze_ring", "a bright ring")
    before = audit.verify()
    given = review.labelling.label(EVE, [each.id for each in group], NOVEL, key=a_key())
    assert len(given) == 3
    assert {held(database, each).defect_class for each in group} == {"haze_ring"}
    assert {held(database, each).disposition for each in group} == {REJECT}
    assert review.queue.waiting().num_looks == 0
    assert audit.verify() == before + 1
    assert audit.entries(limit=1)[0].action == "group labelled"


def test_labelling_a_group_is_all_or_nothing(database, review):
    group = [inspected(database, review).id for _ in range(2)]
    with pytest.raises(NotFound):
        review.labelling.label(EVE, [*group, "f" * 32], SCRATCH, key=a_key())
    assert all(review.verdicts.history_of(inspection) == [] for inspection in group)


def test_the_same_act_happens_once_and_its_key_stands_for_nothing_else(database, review):
    group = [inspected(database, review).id for _ in range(2)]
    key = a_key()
    first = review.labelling.label(EVE, group, SCRATCH, key=key)
    assert {each.id for each in review.labelling.label(EVE, group, SCRATCH, key=key)} == {e.id for e in first}
    for ids, saying in ((group[:1], SCRATCH), (group, BAD)):
        with pytest.raises(Conflict):
            review.labelling.label(EVE, ids, saying, key=key)


def test_an_act_is_undone_as_one(database, review):
    group = [inspected(database, review) for _ in range(3)]
    review.labelling.label(ANN, [each.id for each in group], SCRATCH, key=a_key())
    assert {held(database, each).disposition for each in group} == {REJECT}
    assert len(review.verdicts.undo(ANN, key=a_key())) == 3
    assert {held(database, each).disposition for each in group} == {REVIEW}
    assert review.queue.waiting().num_looks == 3


def test_an_inspectors_label_is_an_opinion_that_another_may_contradict(database, review):
    inspection = inspected(database, review)
    judged(review, GOOD, ANN)
    review.labelling.label(BOB, [inspection.id], SCRATCH, key=a_key())
    assert held(database, inspection).disposition is REVIEW
    assert review.queue.waiting().num_arbitrations == 1


def test_a_blind_look_is_not_spent_on_a_label(database, a_review):
    review = a_review(blind_share=1)
    inspection = inspected(database, review)
    review.labelling.label(ANN, [inspection.id], SCRATCH, key=a_key())
    assert review.queue.waiting().num_looks == 1
    assert review.queue.next_look(ANN, Order.OLDEST) is None
    assert next_item(review, BOB)


def test_a_known_answer_and_too_many_images_are_not_labelled(database, review):
    known = inspected(database, review)
    review.known.add(EVE, known.id, Label.NORMAL, source="s")
    for ids in ([known.id], [], [f"{n:032x}" for n in range(501)]):
        with pytest.raises(OptionsError):
            review.labelling.label(EVE, ids, SCRATCH, key=a_key())


def test_the_context_of_an_image_is_a_normal_one_similar_defects_and_its_neighbours(database, review):
    passed = inspected(database, review, PASS, inspection_point=3)
    defect, normal = (inspected(database, review, latent=latent(1.0, n)) for n in (0.1, 0.2))
    judged(review, SCRATCH)
    judged(review, GOOD)
    points = [inspected(database, review, wafer_id="WF-N", inspection_point=n) for n in (0, 2, 3, 9)]
    looks = {}
    while (look := review.queue.next_look(ANN, Order.OLDEST)) is not None:
        looks[look.inspection.id] = review.context.of(look, num_neighbours=2)
        review.verdicts.give(ANN, look.item.id, GOOD, key=a_key())
    context = looks[points[1].id]
    assert (context.normal, context.confirmed) == (points[0].id, True) or context.normal == normal.id
    assert [each.image.inspection_id for each in context.similar] == [defect.id]
    assert [each.inspection_point for each in context.neighbours] == [0, 3]
    assert passed.id not in {context.normal for context in looks.values()}


def test_without_a_confirmed_normal_image_the_newest_that_passed_at_the_point_stands_for_it(database, review):
    inspected(database, review, PASS, inspection_point=4)
    passed = inspected(database, review, PASS, inspection_point=3)
    inspected(database, review, inspection_point=3)
    context = review.context.of(review.queue.next_look(ANN, Order.OLDEST))
    assert (context.normal, context.confirmed) == (passed.id, False)


def test_the_context_of_a_blind_item_is_a_normal_image_alone(database, a_review):
    review = a_review(blind_share=1)
    for number in range(3):
        inspected(database, review, wafer_id="WF-N", inspection_point=number, latent=latent(1.0))
    judged(review, BAD, ANN)
    judged(review, GOOD, ANN)
    context = review.context.of(review.queue.next_look(ANN, Order.OLDEST))
    assert context.normal is not None
    assert (context.similar, context.neighbours) == ((), ())

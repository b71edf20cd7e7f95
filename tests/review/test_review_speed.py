"""With 100,000 images in doubt the next one is there at once."""

from __future__ import annotations

import statistics
import time

import pytest
from review_examples import ANN, BOB, GOOD, a_key
from sqlalchemy import insert, text
from storage_examples import an_inspection

from waferlens.records import DecisionKind
from waferlens.review.admission import Admission
from waferlens.review.draws import Draws
from waferlens.review.policy import ReviewOptions
from waferlens.storage.inspections import _row_of
from waferlens.storage.review_stored import Order
from waferlens.storage.review_tables import review_items
from waferlens.storage.schema import inspections

NUM_IMAGES, AT_ONCE = 100_000, 5_000


def fill(database):
    """Every image in doubt; at 10,000 ann has taken the first of two looks, so she passes them over."""
    admission = Admission(Draws(b"secret"), ReviewOptions(double_share=0, blind_share=0.2))
    twice = Admission(Draws(b"secret"), ReviewOptions(double_share=1, blind_share=0.2))
    for start in range(0, NUM_IMAGES, AT_ONCE):
        stored = [
            an_inspection(
                received_ms=1_700_000_000_000 + number,
                wafer_id=f"WF-{number // 200}",
                inspection_point=number % 200,
                decision=DecisionKind.REVIEW,
                score=2.0 + number % 997 / 500,
            )
            for number in range(start, start + AT_ONCE)
        ]
        rows = []
        for number, each in enumerate(stored, start):
            if number < 10_000:
                first, second = (vars(item) | {"purpose": "doubt"} for item in twice.items_of(each))
                first |= {"claimed_by": "ann", "closed_ms": 1, "claimed_ms": 0}
                rows += [first, second | {"not_for": "ann"}]
            else:
                rows += [vars(item) | {"purpose": "doubt"} for item in admission.items_of(each)]
        with database.writing() as connection:
            connection.execute(insert(inspections), [_row_of(each) for each in stored])
            connection.execute(insert(review_items), rows)
    with database.writing() as connection:
        connection.execute(text("ANALYZE"))


@pytest.mark.slow
def test_the_next_item_is_claimed_within_20_ms_with_100_000_in_doubt(database, a_review):
    fill(database)
    review = a_review()
    took = {}
    for who, order in ((ANN, Order.OLDEST), (ANN, Order.RISKIEST), (BOB, Order.OLDEST), (BOB, Order.RISKIEST)):
        claims, verdicts = [], []
        for _ in range(25):
            started = time.perf_counter()
            look = review.queue.next_look(who, order)
            claims.append(1e3 * (time.perf_counter() - started))
            started = time.perf_counter()
            review.verdicts.give(who, look.item.id, GOOD, key=a_key())
            verdicts.append(1e3 * (time.perf_counter() - started))
        took[who.name, str(order)] = statistics.median(claims), statistics.median(verdicts)
    waiting = time.perf_counter()
    review.queue.waiting()
    print({key: [round(each, 1) for each in value] for key, value in took.items()})
    print(f"waiting {1e3 * (time.perf_counter() - waiting):.1f} ms")
    assert max(claim for claim, _ in took.values()) < 20, took

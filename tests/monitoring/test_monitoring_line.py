"""The line as the record tells it, on both databases."""

from __future__ import annotations

import pytest
from storage_examples import an_inspection

from waferlens.monitoring.line import LineWatch
from waferlens.records import DecisionKind
from waferlens.storage.inspections import insert_inspection
from waferlens.storage.overview import newest_dispositions, points_of_lot, points_of_wafers, recent_lots
from waferlens.storage.stored import HOUR_MS

PASS, REVIEW, REJECT = DecisionKind
NOW = 1_700_000_000_000


@pytest.fixture
def filled(database):
    kinds = [PASS] * 6 + [REVIEW] * 3 + [REJECT]
    with database.writing() as connection:
        for number, kind in enumerate(kinds):
            for hours, product in ((0, "a"), (1, "b"), (13, "old")):
                insert_inspection(connection, an_inspection(
                    received_ms=NOW - hours * (HOUR_MS + 1) - number, decision=kind, product=product,
                    wafer_id=f"WF-{product}", lot_id=None if product == "b" else f"LOT-{product}",
                    inspection_point=number, timings={"transfer": 1.0, "inference": 10.0 * number},
                    failure="image" if kind is REVIEW and number == 6 else None,
                    score=None if number == 6 and kind is REVIEW else float(number),
                ))  # fmt: skip
    return database


@pytest.fixture
def seen(filled):
    return LineWatch(filled, lambda: NOW).now()


def test_decisions_are_counted_by_hour_and_by_product(seen):
    assert len(seen.hours) == 12
    assert [hour for hour, _ in seen.hours] == sorted(hour for hour, _ in seen.hours)
    assert sum(tally.num for _, tally in seen.hours) == 20
    assert set(seen.products) == {"a", "b"}
    assert seen.products["a"].counts == {PASS: 6, REVIEW: 3, REJECT: 1}
    assert seen.last_hour.num == 10


def test_a_rate_comes_with_its_exact_interval(seen):
    rate = seen.last_hour.rate(REJECT)
    assert rate.value == 0.1
    assert rate.low == pytest.approx(0.0025, abs=1e-3)
    assert rate.high == pytest.approx(0.4450, abs=1e-3)


def test_times_are_those_of_images_that_were_inferred(seen):
    assert seen.latency.num == 27
    assert seen.latency.p50_ms == pytest.approx(1 + 40)
    assert seen.latency.num_late == 3 * 4  # points 5, 7, 8, 9 take 51 ms and more


def test_what_went_wrong_is_named_with_its_newest_inspection(seen):
    ((failure, num, newest),) = seen.failures
    assert (failure, num, len(newest)) == ("image", 1, 32)


def test_the_newest_wafers_come_first_with_their_points(seen):
    assert list(seen.wafers) == ["WF-a", "WF-b", "WF-old"]
    assert [point.inspection_point for point in seen.wafers["WF-a"]] == list(range(10))


def test_an_empty_record_is_an_empty_line(database):
    seen = LineWatch(database, lambda: NOW).now()
    assert (seen.last_hour.num, seen.last_hour.rate(PASS), seen.latency.p50_ms) == (0, None, None)
    assert not seen.wafers


def test_a_look_is_kept_for_a_moment(filled):
    watch = LineWatch(filled, lambda: NOW)
    assert watch.now() is watch.now()


def test_a_point_counts_with_its_last_inspection(filled):
    with filled.writing() as connection:
        newer = an_inspection(
            received_ms=NOW + 5, wafer_id="WF-a", lot_id="LOT-a", inspection_point=3, decision=REJECT, product="a"
        )
        insert_inspection(connection, newer)
    with filled.reading() as connection:
        by_wafer = points_of_wafers(connection, ["WF-a", "WF-b", "WF-nothing"])
        by_lot = points_of_lot(connection, "LOT-a")
        lots = recent_lots(connection, num_inspections=1000)
        assert newest_dispositions(connection, ["WF-a"]) == {}
    assert set(by_wafer) == {"WF-a", "WF-b"}
    assert by_wafer["WF-a"][3].inspection_id == newer.id
    assert by_lot == {"WF-a": by_wafer["WF-a"]}
    assert [(lot.lot_id, lot.num_wafers, lot.num_inspections) for lot in lots] == [
        ("LOT-a", 1, 11), ("LOT-old", 1, 10),
    ]  # fmt: skip

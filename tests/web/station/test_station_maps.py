"""Maps claim no more than is known, and tell decisions apart without colours."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from waferlens.inspection.places import MapOptions
from waferlens.monitoring.line import Tally
from waferlens.records import DecisionKind
from waferlens.review.what_if import Band
from waferlens.storage.overview import PointLine
from waferlens.web.station import writing
from waferlens.web.station.bars import HEIGHT, hourly_bars
from waferlens.web.station.histogram import draw_histogram
from waferlens.web.station.maps import decision_map, stacked_map

PASS, REVIEW, REJECT = DecisionKind
DIES = MapOptions(sites_per_die=1)


def point(number: int, kind: DecisionKind = PASS, score: float | None = 1.0) -> PointLine:
    return PointLine(
        inspection_id=f"{number:032x}", wafer_id="WF", inspection_point=number, product="a", lot_id=None,
        received_ms=0, decision=kind, score=score, review_threshold=2.0, reject_threshold=4.0,
    )  # fmt: skip


def test_points_lie_where_the_layout_says_and_y_goes_up():
    drawn = decision_map([point(number) for number in range(57)], DIES, name="WF")
    assert drawn.known
    for mark, (x, y) in zip(drawn.marks, DIES.places_mm(), strict=True):
        assert (mark.x, mark.y) == (round(x, 2), round(-y, 2))


def test_points_that_were_not_inspected_are_seen_as_such():
    drawn = decision_map([point(0), point(5, REJECT)], DIES, name="WF")
    assert [mark.look for mark in drawn.marks].count("none") == 55


def test_without_a_layout_no_wafer_is_drawn():
    for layout, points in ((None, [point(3), point(8)]), (DIES, [point(0), point(57)])):
        drawn = decision_map(points, layout, name="WF")
        assert not drawn.known
        assert drawn.outline == ""
    assert decision_map([], None, name="WF").marks


def test_decisions_differ_in_shape_and_letter():
    drawn = decision_map([point(0, PASS), point(1, REVIEW), point(2, REJECT)], None, name="WF")
    shapes = [re.sub(r"[-\d.\s]+", " ", mark.path) for mark in drawn.marks]
    assert len(set(shapes)) == 3
    assert len({mark.letter for mark in drawn.marks}) == 3


def test_a_higher_score_is_a_lighter_colour_and_none_is_no_colour():
    def light(mark):
        return sum(int(mark.fill[i : i + 2], 16) for i in (1, 3, 5))

    scores = [0.0, 1.0, 3.0, 4.0, 5.9]
    drawn = decision_map([point(n, score=score) for n, score in enumerate(scores)], None, name="WF", by_score=True)
    assert [light(mark) for mark in drawn.marks] == sorted(light(mark) for mark in drawn.marks)
    (blank,) = decision_map([point(0, REVIEW, None)], None, name="WF", by_score=True).marks
    assert blank.fill is None
    assert "nothing inferred" in blank.title


def test_a_stack_says_how_many_wafers_did_not_pass_at_a_point():
    wafers = {"A": [point(0, REJECT), point(1)], "B": [point(0, REVIEW), point(1)], "C": [point(1, REVIEW)]}
    marks = {mark.title.split(":")[0]: mark for mark in stacked_map(wafers, DIES, name="LOT").marks}
    assert (marks["point 0"].letter, marks["point 0"].look) == ("2", "REJECT")
    assert (marks["point 1"].letter, marks["point 1"].look) == ("1", "REVIEW")
    assert "1 rejected and 1 in review of 2 wafers" in marks["point 0"].title


def test_a_single_reject_among_thousands_is_seen_in_its_bar():
    tally = Tally(counts={PASS: 100_000, REVIEW: 0, REJECT: 1})
    (bar,) = hourly_bars([(0, tally)])
    assert [piece.kind for piece in bar.pieces] == [PASS, REJECT]
    assert all(piece.height >= 3 for piece in bar.pieces)
    assert 0 <= bar.top < HEIGHT
    assert hourly_bars([]) == []


@given(st.lists(st.floats(-1e6, 1e6), max_size=50), st.floats(-10, 10), st.floats(0, 10))
def test_a_histogram_counts_every_score_once(scores, review, width):
    values = np.asarray([*scores, np.nan])
    drawn = draw_histogram(values, Band(review=review, reject=review + width), None)
    counts = [int(column.title.split()[0]) for column in drawn.columns]
    assert sum(counts) == len(scores)
    assert all(0 <= x <= 900 for x in drawn.band)


def test_numbers_are_written_for_people():
    assert writing.count(1234567) == "1\u202f234\u202f567"
    assert writing.number(-1.5, 1) == "\u22121.5"
    assert writing.number(None) == writing.number(float("nan")) == "\u2013"
    assert writing.percent(0.00042) == "0.042\u202f%"
    assert writing.percent(0.5) == "50.0\u202f%"
    assert [writing.span(s) for s in (8, 600, 7200, 200_000)] == ["8 s", "10 min", "2.0 h", "2.3 days"]

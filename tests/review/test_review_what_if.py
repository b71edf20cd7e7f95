"""What another band would have done: the same as deciding every image again, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waferlens.decision.decide import decide
from waferlens.decision.thresholds import Thresholds
from waferlens.errors import OptionsError
from waferlens.records import DecisionKind
from waferlens.review.what_if import Band, what_if

SCORE = st.floats(-50, 50, allow_nan=False)
BAND = st.tuples(SCORE, SCORE).map(lambda told: Band(review=min(told), reject=max(told)))
IMAGES = st.lists(st.tuples(SCORE | st.just(float("nan")), st.sampled_from([-1, 0, 1])), max_size=40)


def arrays(images):
    scores = np.asarray([score for score, _ in images], dtype=np.float64)
    return scores, np.asarray([label for _, label in images], dtype=np.int8)


def again(score: float, band: Band) -> DecisionKind:
    return decide(score, Thresholds(review=band.review, reject=band.reject)).kind


@given(IMAGES, BAND, BAND)
def test_counts_are_those_of_deciding_each_image_again(images, before, after):
    told = what_if(*arrays(images), before, after)
    scored = [(score, label) for score, label in images if np.isfinite(score)]
    for was in DecisionKind:
        for would in DecisionKind:
            expected = sum(again(s, before) is was and again(s, after) is would for s, _ in scored)
            assert told.moved[was, would] == expected
        assert told.before(was) == sum(again(score, before) is was for score, _ in scored)
        assert told.after(was) == sum(again(score, after) is was for score, _ in scored)
        assert told.normal[was] == sum(label == 0 and again(score, after) is was for score, label in scored)
        assert told.defective[was] == sum(label == 1 and again(score, after) is was for score, label in scored)
    assert told.num_scored + told.num_unscored == len(images)


@given(IMAGES, BAND)
def test_the_same_band_moves_nothing(images, band):
    told = what_if(*arrays(images), band, band)
    assert all(was is would or num == 0 for (was, would), num in told.moved.items())


def test_a_rate_comes_with_its_interval_and_without_images_there_is_none():
    band = Band(review=1.0, reject=2.0)
    told = what_if(np.asarray([0.0, 0.5, 1.5, 3.0]), np.full(4, -1, np.int8), band, Band(review=2.0, reject=4.0))
    rate = told.rate_after(DecisionKind.PASS)
    assert (rate.value, rate.low < 0.75 < rate.high) == (0.75, True)
    empty = what_if(np.asarray([np.nan]), np.asarray([-1], np.int8), band, band)
    assert (empty.rate_after(DecisionKind.PASS), empty.num_unscored) == (None, 1)


def test_a_band_that_is_upside_down_is_refused():
    with pytest.raises(OptionsError, match="upside down"):
        Band(review=2.0, reject=1.0)

"""A review over a real database, with a clock that the test moves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "storage"))


@pytest.fixture
def clock():
    from review_examples import TestClock

    return TestClock()


@pytest.fixture
def a_review(database, audit, tmp_path, clock):
    """A function that opens the review with some of its options."""
    from review_examples import open_a_review

    def open_with(**options):
        return open_a_review(database, audit, tmp_path, clock, **options)

    return open_with


@pytest.fixture
def review(a_review):
    """One look an image, nothing blind, nothing drawn: what a test wants more of, it asks for."""
    return a_review()

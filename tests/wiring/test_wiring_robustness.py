"""Which images are disturbed, how they draw, which output is asked: with an engine that keeps its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tiny
from waferlens.decision.thresholds import Thresholds
from waferlens.engines.interface import Outputs
from waferlens.images.disturbances import DISTURBANCES
from waferlens.records import ImageRef, Label
from waferlens.wiring.robustness import measure_robustness
from waferlens.wiring.told import SILENT, Told

NUM_LEVELS = sum(not level.is_none for kind in DISTURBANCES for level in kind.levels)
THRESHOLDS = Thresholds(review=100.0, reject=200.0)


class MeanEngine:
    """The score is the mean grey value, a(x) the spread; every image that came is kept, by call."""

    name = "mean"

    def __init__(self):
        self.asked = []

    def infer(self, pixels):
        self.asked.append(pixels.copy())
        score = pixels.mean(axis=(1, 2)).astype(np.float32)
        spread = pixels.std(axis=(1, 2)).astype(np.float32)
        maps = np.zeros((len(pixels), 1, 256, 256), np.float32)
        return Outputs(maps, maps, score, spread, np.zeros((len(pixels), 4), np.float32))


@pytest.fixture(scope="module")
def packed():
    return tiny.pack(np.random.default_rng(0).integers(0, 256, (12, 256, 256)).astype(np.uint8))


@pytest.fixture(scope="module")
def refs(packed):
    """Eight normal images, then four defective ones."""
    labels = [Label.NORMAL] * 8 + [Label.DEFECTIVE] * 4
    return [
        ImageRef(path=Path(name), name=name, group=name, label=label)
        for name, label in zip(packed.names, labels, strict=True)
    ]


def asked_of(refs, packed, told=SILENT, thresholds=THRESHOLDS, **options):
    engine = MeanEngine()
    found = measure_robustness(engine, refs, packed, thresholds, told=told, **options)
    return found, engine.asked


def test_the_images_come_undisturbed_first_and_once_for_every_level(refs, packed):
    found, asked = asked_of(refs, packed)
    assert len(asked) == 1 + NUM_LEVELS
    np.testing.assert_array_equal(asked[0], packed.pixels)
    assert (found.num_normal, found.num_defective) == (8, 4)


def test_the_cap_holds_for_each_class_and_spreads_over_the_list(refs, packed):
    found, asked = asked_of(refs, packed, num_images=3)
    assert (found.num_normal, found.num_defective) == (3, 3)
    rows = [index for index, image in enumerate(packed.pixels) if (asked[0] == image).all(axis=(1, 2)).any()]
    assert (rows[0], rows[-1]) == (0, 11)
    assert {7, 8} <= set(rows)


def test_an_image_is_disturbed_the_same_whatever_comes_with_it(refs, packed):
    _, together = asked_of(refs, packed)
    _, capped = asked_of(refs, packed, num_images=1)
    for whole, part in zip(together, capped, strict=True):
        np.testing.assert_array_equal(whole[[0, 8]], part)


def test_another_seed_draws_otherwise(refs, packed):
    (_, first), (_, again), (_, other) = (asked_of(refs, packed, num_images=2, seed=s) for s in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_the_output_that_the_bundle_decides_on_is_the_one_that_is_measured(refs, packed):
    fixed = Thresholds(review=0.5, reject=1000.0, score_name="reconstruction_error", policy="fixed")
    found, _ = asked_of(refs, packed, thresholds=fixed)
    assert found.score_name == "reconstruction_error"
    assert found.results[0].levels[0].overkill_rate.value == 1.0
    assert found.results[0].levels[0].normal_reject_rate.value == 0.0


def test_progress_ends_when_all_is_scored(refs, packed):
    counted = []
    told = Told(say=lambda _: None, count=lambda done, total: counted.append((done, total)), watch=lambda _: None)
    asked_of(refs, packed, told=told, num_images=2)
    assert counted[-1] == (4 * (1 + NUM_LEVELS),) * 2
    assert [done for done, _ in counted] == sorted(done for done, _ in counted)

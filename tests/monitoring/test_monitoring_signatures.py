"""A wafer's pattern is named after the region that its defects lie in; scattered ones are random."""

from __future__ import annotations

import numpy as np
import pytest

from waferlens.errors import DataError
from waferlens.monitoring.signature_regions import Signature, SignatureOptions, WaferMap, gains_of
from waferlens.monitoring.signatures import SignatureFinder


def grid_map() -> WaferMap:
    x, y = np.meshgrid(np.arange(-140, 141, 20.0), np.arange(-140, 141, 20.0))
    inside = np.hypot(x, y) < 145
    return WaferMap(x=x[inside], y=y[inside], site=np.arange(inside.sum()) % 4, radius_mm=150.0)


@pytest.fixture(scope="module")
def finder() -> SignatureFinder:
    return SignatureFinder(grid_map())


def test_patterns_without_noise_are_named(finder: SignatureFinder) -> None:
    at = finder.map
    radius, angle = np.hypot(at.x, at.y), np.degrees(np.arctan2(at.y, at.x)) % 360
    patterns = {
        Signature.EDGE_RING: radius > 115,
        Signature.CENTRE: radius < 50,
        Signature.QUADRANT: (angle > 90) & (angle < 180),
        Signature.SCRATCH: np.abs(at.x - at.y) < 5,
        Signature.REPEATER: at.site == 2,
    }
    for signature, defective in patterns.items():
        shown = finder.of_wafer(defective)
        assert shown.signature is signature
        assert shown.cause
        assert set(shown.points) <= set(np.flatnonzero(defective))


def test_scattered_defects_are_random_and_few_are_nothing(finder: SignatureFinder) -> None:
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(60):
        wrong += finder.of_wafer(rng.random(len(finder.map.x)) < 0.1).signature is not Signature.RANDOM
    assert wrong <= 6
    assert finder.of_wafer(np.arange(len(finder.map.x)) < 2).signature is Signature.NONE


def test_the_same_points_on_wafer_after_wafer_are_a_repeater(finder: SignatureFinder) -> None:
    rng = np.random.default_rng(2)
    lot = rng.random((12, len(finder.map.x))) < 0.02
    lot[:, [17, 90]] = rng.random((12, 2)) < 0.7
    shown = finder.of_lot(lot)
    assert shown.signature is Signature.REPEATER
    assert {17, 90} <= set(shown.points)


def test_a_weak_ring_shows_over_a_lot_where_one_wafer_is_too_few(finder: SignatureFinder) -> None:
    rng = np.random.default_rng(3)
    at_edge = np.hypot(finder.map.x, finder.map.y) > 125
    lot = rng.random((15, len(at_edge))) < np.where(at_edge, 0.2, 0.02)
    assert finder.of_lot(lot).signature is Signature.EDGE_RING


def test_points_that_were_not_inspected_are_no_evidence(finder: SignatureFinder) -> None:
    at = finder.map
    seen = at.x > 0
    ring = np.hypot(at.x, at.y) > 115
    assert finder.of_wafer(ring, seen).signature is not Signature.QUADRANT


def test_the_gain_is_the_log_likelihood_ratio_of_its_definition() -> None:
    region = np.array([[True, True, False, False, False]])
    hits, trials = np.array([[2.0, 1.0, 0.0, 1.0, 0.0]]), np.array([[3.0, 3.0, 3.0, 3.0, 3.0]])

    def log_likelihood(k: float, n: float) -> float:
        p = k / n
        return k * np.log(p) + (n - k) * np.log(1 - p)

    expected = log_likelihood(3, 6) + log_likelihood(1, 9) - log_likelihood(4, 15)
    assert gains_of(region, hits, trials)[0, 0] == pytest.approx(expected)
    assert gains_of(~region, hits, trials)[0, 0] == 0  # better inside is no defect region


def test_a_map_without_points_is_refused() -> None:
    with pytest.raises(DataError, match="no points"):
        WaferMap(x=np.empty(0), y=np.empty(0), site=np.empty(0, dtype=int), radius_mm=150)
    assert SignatureOptions().alpha < 0.05

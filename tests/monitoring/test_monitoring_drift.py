"""What moved is found, dated and named: one station's lamp, one product, one point, everything."""

from __future__ import annotations

import numpy as np
import pytest

from waferlens.errors import DataError
from waferlens.monitoring.cause import CellShift, Scope, find_cause
from waferlens.monitoring.drift import DriftOptions, watch_drift
from waferlens.monitoring.points import moved_points
from waferlens.monitoring.wafer_rows import SeenImages, Statistic, WaferRows, learn_levels, wafer_rows
from waferlens.storage.stored import DAY_MS

OPTIONS = DriftOptions(wafers_per_group=5, baseline_groups=30)
STATIONS, PRODUCTS = ("s1", "s2", "s3"), ("p", "q")
START = 30 * DAY_MS


def line(rng: np.random.Generator, days: int = 33) -> WaferRows:
    """120 wafers a day at three stations, two products by turns; every statistic normal."""
    num = 120 * days
    return WaferRows(
        wafer=np.array([f"w{i}" for i in range(num)]),
        station=np.array(STATIONS)[rng.integers(0, 3, num)],
        product=np.array(PRODUCTS)[np.arange(num) // 5 % 2],
        at_ms=np.arange(num, dtype=np.int64) * (DAY_MS // 120),
        values=rng.standard_normal((num, len(Statistic))) * 0.03,
    )


def shifted(
    rows: WaferRows, where: np.ndarray, by: float, statistic: Statistic = Statistic.BRIGHTNESS
) -> WaferRows:
    values = rows.values.copy()
    values[where & (rows.at_ms >= START), list(Statistic).index(statistic)] += by
    return WaferRows(**vars(rows) | {"values": values})


def test_a_quiet_quarter_has_no_drift() -> None:
    assert len(watch_drift(line(np.random.default_rng(1), days=91), OPTIONS)) <= 1


@pytest.mark.parametrize(
    ("scope", "name"),
    [(Scope.STATION, "s2"), (Scope.PRODUCT, "q"), (Scope.CELL, "s3, p"), (Scope.ALL, "")],
)
def test_what_moved_is_named_within_a_day(scope: Scope, name: str) -> None:
    rows = line(np.random.default_rng(2))
    where = {
        Scope.STATION: rows.station == "s2",
        Scope.PRODUCT: rows.product == "q",
        Scope.CELL: (rows.station == "s3") & (rows.product == "p"),
        Scope.ALL: np.ones(len(rows), dtype=np.bool_),
    }[scope]
    moved = shifted(rows, where, 0.06)
    found = [d for d in watch_drift(moved.take(moved.at_ms < START + 2 * DAY_MS), OPTIONS) if d.raised_ms >= START]
    assert found[0].raised_ms < START + DAY_MS
    assert (found[0].cause.scope, found[0].cause.name) == (scope, name)
    assert found[0].shift == pytest.approx(0.06, rel=0.4)
    assert abs(found[0].onset_ms - START) < DAY_MS
    assert "brightness" in found[0].told()


def test_what_one_cause_sets_off_is_told_once() -> None:
    rows = line(np.random.default_rng(3))
    at_s1 = rows.station == "s1"
    moved = shifted(shifted(rows, at_s1, 0.08), at_s1, -0.08, Statistic.ERROR)
    found = [d for d in watch_drift(moved, OPTIONS) if d.raised_ms >= START]
    assert len(found) == 1
    assert set(found[0].statistics) >= {Statistic.BRIGHTNESS, Statistic.ERROR}


def test_a_statistic_that_nobody_kept_is_no_alarm() -> None:
    rows = line(np.random.default_rng(4), days=40)
    values = rows.values.copy()
    values[:, 0] = np.nan
    assert len(watch_drift(WaferRows(**vars(rows) | {"values": values}), OPTIONS)) <= 1


def test_one_cell_that_is_all_there_is_to_see_speaks_for_its_station() -> None:
    assert find_cause([CellShift("s1", "p", 0.05, 0.01)]).scope is Scope.STATION
    both = [CellShift("s1", "p", 0.05, 0.01), CellShift("s1", "q", 0.0, 0.01), CellShift("s2", "p", 0.0, 0.01)]
    assert find_cause(both).name == "s1, p"
    with pytest.raises(DataError, match="no cell"):
        find_cause([])


def images(rng: np.random.Generator, num: int = 400, brightness: float = 1.0) -> SeenImages:
    return SeenImages(
        wafer=np.array([f"w{i // 20}" for i in range(num)]),
        station=np.array(["s1"] * num),
        product=np.array(["p"] * num),
        point=np.arange(num, dtype=np.int64) % 20,
        at_ms=np.arange(num, dtype=np.int64),
        passed=np.ones(num, dtype=np.bool_),
        score=rng.standard_normal(num) + np.arange(num) % 20,
        error=np.exp(rng.standard_normal(num) * 0.1),
        brightness=brightness * np.exp(0.02 * rng.standard_normal(num)) * (1 + np.arange(num) % 20 / 40),
        latents=rng.standard_normal((num, 6)).astype(np.float32) + (np.arange(num) % 20)[:, None],
    )


def test_points_that_differ_by_design_do_not_move_a_wafer() -> None:
    rng = np.random.default_rng(5)
    levels = learn_levels(images(rng, 4000))
    whole = images(rng)
    half = whole.take(whole.point < 10)  # another part of the points, the same wafers
    assert np.abs(wafer_rows(half, levels).values[:, 1].mean()) < 0.3
    assert len(wafer_rows(whole, levels)) == 20


def test_light_and_latents_move_the_statistics_that_are_named_after_them() -> None:
    rng = np.random.default_rng(6)
    levels = learn_levels(images(rng, 4000))
    plain, bright = wafer_rows(images(rng), levels), wafer_rows(images(rng, brightness=1.05), levels)
    assert bright.values[:, 0].mean() - plain.values[:, 0].mean() == pytest.approx(np.log(1.05), abs=0.005)
    moved = images(rng)
    away = wafer_rows(SeenImages(**vars(moved) | {"latents": moved.latents + 1.5}), levels)
    assert away.values[:, 3].mean() > 2 * plain.values[:, 3].mean()
    wide = wafer_rows(
        SeenImages(**vars(moved) | {"latents": moved.latents * 1.0 + rng.standard_normal((400, 6))}), levels
    )
    assert wide.values[:, 4].mean() > plain.values[:, 4].mean() + 0.3


def test_images_that_did_not_pass_do_not_count_in_the_score() -> None:
    rng = np.random.default_rng(7)
    some = images(rng)
    levels = learn_levels(images(rng, 4000))
    rejected = SeenImages(
        **vars(some) | {"passed": np.arange(400) % 2 == 0, "score": some.score + 50 * (np.arange(400) % 2)}
    )
    assert np.abs(wafer_rows(rejected, levels).values[:, 1]).max() < 2


def test_one_point_that_moved_alone_is_found_and_all_together_are_not() -> None:
    rng = np.random.default_rng(8)
    points = np.repeat(np.arange(100), 60).astype(str)
    before = rng.standard_normal(6000), points
    moved = rng.standard_normal(6000) + np.where(points == "42", 1.2, 0.0)
    assert [p.point for p in moved_points(before, (moved, points))] == ["42"]
    assert moved_points(before, (rng.standard_normal(6000) + 1.2, points)) == []
    assert moved_points((np.empty(0), np.empty(0, dtype=np.str_)), before) == []

"""A kind that nobody named is told once it crowds; history, one wafer and known kinds are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import nbinom

from waferlens.errors import DataError
from waferlens.monitoring.appearance import APPEARANCE_SIZE, describe
from waferlens.monitoring.known_classes import KnownClasses
from waferlens.monitoring.novel import Doubtful, NovelOptions, NovelWatch, Space

OPTIONS = NovelOptions(num_components=4, least_history=200, images_per_month=20_000)
NEW = np.array([6.0, 6.0, 0.0, 0.0, 0.0, 0.0])


def doubtful(
    rng: np.random.Generator, num: int, *, new: int = 0, at: np.ndarray = NEW, one_wafer: bool = False
) -> Doubtful:
    """Overkill all over the place, and ``new`` images of a new kind close together, dealt in among them."""
    looks = rng.standard_normal((num, 6)) * 2
    which = rng.permutation(num)[:new]
    looks[which] = at + 0.2 * rng.standard_normal((new, 6))
    wafers = np.array([f"{rng.integers(10**9)}" for _ in range(num)], dtype="U16")
    if one_wafer:
        wafers[which] = "same"
    ids = np.array([f"{'new' if i in set(which) else 'old'}-{rng.integers(10**9)}" for i in range(num)])
    return Doubtful(ids=ids, wafers=wafers, at_ms=np.arange(num, dtype=np.int64), looks=looks.astype(np.float32))


def test_a_new_kind_is_told_with_its_examples_after_a_few_wafers() -> None:
    rng = np.random.default_rng(1)
    watch = NovelWatch(doubtful(rng, 2_000), options=OPTIONS)
    assert watch.see(doubtful(rng, 100)) == []
    found = watch.see(doubtful(rng, 100, new=10))
    assert len(found) == 1
    assert all(member.startswith("new") for member in found[0].members)
    assert len(set(found[0].wafers)) == len(found[0].wafers) >= 5
    assert found[0].known == ""
    assert found[0].expected < 1


def test_it_is_told_once() -> None:
    rng = np.random.default_rng(2)
    watch = NovelWatch(doubtful(rng, 2_000), options=OPTIONS)
    told = [watch.see(doubtful(rng, 50, new=5)) for _ in range(6)]
    assert sum(map(len, told)) == 1


def test_many_alike_on_one_wafer_are_no_new_kind() -> None:
    rng = np.random.default_rng(3)
    watch = NovelWatch(doubtful(rng, 2_000), options=OPTIONS)
    assert watch.see(doubtful(rng, 100, new=30, one_wafer=True)) == []


def test_what_the_history_holds_as_often_is_not_new() -> None:
    rng = np.random.default_rng(4)
    watch = NovelWatch(doubtful(rng, 2_000, new=200), options=OPTIONS)
    assert watch.see(doubtful(rng, 200, new=20)) == []


def test_quiet_streams_do_not_alarm_more_often_than_the_budget() -> None:
    rng, alarms = np.random.default_rng(5), 0
    watch = NovelWatch(doubtful(rng, 2_000), options=OPTIONS)
    for _ in range(100):
        alarms += len(watch.see(doubtful(rng, 100)))
    assert alarms <= 1  # half a month's images at half an alarm a month


def test_a_named_class_that_grows_is_told_by_its_name() -> None:
    rng = np.random.default_rng(6)
    examples = NEW + 0.2 * rng.standard_normal((30, 6))
    watch = NovelWatch(doubtful(rng, 2_000), {"stain": examples.astype(np.float32)}, OPTIONS)
    found = watch.see(doubtful(rng, 100, new=12))
    assert [crowd.known for crowd in found] == ["stain"]


def test_a_class_explains_a_crowd_only_where_it_lies_and_only_if_it_grew() -> None:
    rng = np.random.default_rng(7)
    history = np.concatenate([rng.standard_normal((500, 3)) * 20, rng.standard_normal((20, 3))])
    classes = KnownClasses({"a": rng.standard_normal((40, 3)), "one": np.zeros((1, 3))}, history)
    usual, grown, apart = history[::5], rng.standard_normal((60, 3)), rng.standard_normal((20, 3)) + 50
    assert classes.explaining(np.zeros(3), 2.0, 40, grown) == "a"
    assert classes.explaining(np.zeros(3), 2.0, 40, usual) == ""
    assert classes.explaining(np.full(3, 50.0), 2.0, 8, apart) == ""
    assert KnownClasses({}, history).explaining(np.zeros(3), 1.0, 3, usual) == ""


def test_the_chance_is_what_a_history_of_the_same_rate_gives() -> None:
    """j of h known, k of n to come, at one unknown rate: simulated against the negative binomial tail."""
    rng, h, n, j, k = np.random.default_rng(8), 400, 100, 2, 3
    rates = rng.gamma(j + 1, 1 / h, size=200_000)  # what j of h leaves open about the rate
    simulated = float((rng.poisson(rates * n) >= k).mean())
    assert nbinom.sf(k - 1, j + 1, h / (h + n)) == pytest.approx(simulated, rel=0.05)


def test_a_short_history_says_nothing_rather_than_something_wrong() -> None:
    with pytest.raises(DataError, match="too short"):
        NovelWatch(doubtful(np.random.default_rng(9), 100), options=OPTIONS)
    with pytest.raises(DataError, match="too few images"):
        Space.learn(np.zeros((3, 6), dtype=np.float32), 4)


def surface(rng: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:256, :256]
    lines = 120 + 40 * np.sin(columns / 2.5)
    return lines + rng.normal(0, 3, (256, 256)) + rows * 0.05


def marked(rng: np.random.Generator, kind: str, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
    """A surface with a dark spot or a bright line at a place, and the heat that a detector would give it."""
    image, mark = surface(rng), np.zeros((256, 256))
    if kind == "spot":
        mark[row - 5 : row + 5, column - 5 : column + 5] = -80
    else:
        mark[row - 1 : row + 1, column - 25 : column + 25] = 70
    heat = ndimage.gaussian_filter(np.abs(mark), 6) + 0.1 * rng.random((256, 256))
    return np.clip(image + mark, 0, 255).astype(np.uint8), heat.astype(np.float32)


def test_a_departure_looks_the_same_wherever_it_lies_and_kinds_look_different() -> None:
    rng = np.random.default_rng(10)
    spots = [describe(*marked(rng, "spot", int(r), int(c))) for r, c in rng.integers(60, 190, (12, 2))]
    lines = [describe(*marked(rng, "line", int(r), int(c))) for r, c in rng.integers(60, 190, (12, 2))]
    every = np.array(spots + lines)
    scaled = (every - every.mean(0)) / (every.std(0) + 1e-3)
    apart = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(axis=1)
    assert (nearest[:12] < 12).mean() >= 0.9
    assert (nearest[12:] >= 12).mean() >= 0.9


def test_a_departure_is_described_whatever_the_light_and_the_depth_of_the_camera() -> None:
    rng = np.random.default_rng(11)
    image, heat = marked(rng, "spot", 100, 150)
    plain = describe(image, heat)
    assert plain.shape == (APPEARANCE_SIZE,)
    assert plain.dtype == np.float32
    assert np.abs(describe(image.astype(np.uint16) * 257, heat) - plain).max() < 0.05
    assert np.abs(describe((image * 0.8).astype(np.uint8), heat) - plain).max() < 1.0


def test_an_image_without_anything_is_described_with_finite_numbers() -> None:
    flat = np.full((256, 256), 7, dtype=np.uint8)
    for heat in (np.zeros((256, 256)), np.full((256, 256), -3.0)):
        assert np.isfinite(describe(flat, heat.astype(np.float32))).all()
    assert np.isfinite(describe(np.zeros((256, 256), dtype=np.uint8), np.eye(256, dtype=np.float32))).all()

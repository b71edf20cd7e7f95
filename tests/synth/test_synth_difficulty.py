"""The yardstick is honest: brightness tells nothing, a careful template much but not all; and it is fast."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from waferlens.images.synth.defects import KNOWN_KINDS
from waferlens.images.synth.fab import SyntheticFab, SyntheticImage
from waferlens.images.synth.grid import render_grid
from waferlens.images.synth.plans import Counts, Part, PlannedImage, plan_dataset

STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": np.mean,
    "deviation": np.std,
    "minimum": np.min,
    "maximum": np.max,
    "1st percentile": lambda pixels: float(np.percentile(pixels, 1)),
    "99th percentile": lambda pixels: float(np.percentile(pixels, 99)),
}


def render(fab: SyntheticFab, planned: PlannedImage) -> SyntheticImage:
    return fab.render_kind(planned.wafer, planned.point, planned.kind)


def images_of(fab: SyntheticFab, counts: Counts, part: Part) -> list[SyntheticImage]:
    plan = plan_dataset(counts, fab.layout.num_points)
    return [render(fab, planned) for planned in plan if planned.part is part]


def auroc(images: list[SyntheticImage], score: Callable[[SyntheticImage], float]) -> float:
    truth = [image.meta.defect is not None for image in images]
    return float(roc_auc_score(truth, [score(image) for image in images]))


@pytest.fixture(scope="module")
def validation() -> list[SyntheticImage]:
    counts = Counts(train=0, test_normal=160, per_known=32, novel_normal=0, per_novel=0)
    return images_of(SyntheticFab(seed=21), counts, Part.TEST)


@pytest.mark.parametrize("name", sorted(STATISTICS))
def test_no_threshold_on_brightness_finds_the_known_defects(validation: list[SyntheticImage], name: str) -> None:
    found = auroc(validation, lambda image: float(STATISTICS[name](image.pixels)))
    assert max(found, 1.0 - found) < 0.65


def test_known_defects_cover_a_small_part_of_the_image(validation: list[SyntheticImage]) -> None:
    shares = [image.mask.mean() for image in validation if image.meta.defect is not None]
    assert np.median(shares) < 0.02
    assert max(shares) < 0.2


class Template:
    """Mean and deviation of each site after whole-pixel registration: what a careful rule would do."""

    def __init__(self, images: list[SyntheticImage]) -> None:
        self.sites = {}
        for site in {image.meta.site for image in images}:
            flat = [self.flatten(image) for image in images if image.meta.site == site]
            first = np.mean([self.register(one, flat[0]) for one in flat], axis=0)
            aligned = [self.register(one, first) for one in flat]
            self.sites[site] = (np.mean(aligned, axis=0), np.std(aligned, axis=0) + 0.05)

    def score(self, image: SyntheticImage) -> float:
        mean, deviation = self.sites[image.meta.site]
        departure = ((self.register(self.flatten(image), mean) - mean) / deviation) ** 2
        return float(ndimage.gaussian_filter(departure, 3.0)[8:-8, 8:-8].max())

    @staticmethod
    def flatten(image: SyntheticImage) -> np.ndarray:
        pixels = image.pixels.astype(np.float32)
        flat = pixels / (ndimage.gaussian_filter(pixels, 40.0) + 1.0)
        return (flat - flat.mean()) / flat.std()

    @staticmethod
    def register(pixels: np.ndarray, target: np.ndarray) -> np.ndarray:
        match = np.fft.irfft2(np.fft.rfft2(pixels) * np.conj(np.fft.rfft2(target)))
        shifts = [(dy, dx) for dy in range(-6, 7) for dx in range(-6, 7)]
        dy, dx = max(shifts, key=lambda shift: match[shift])
        return np.roll(pixels, (-dy, -dx), axis=(0, 1))


@pytest.mark.slow
def test_a_registered_template_finds_most_known_defects_but_not_all(
    validation: list[SyntheticImage],
) -> None:
    counts = Counts(train=320, test_normal=0, per_known=0, novel_normal=0, per_novel=0)
    template = Template(images_of(SyntheticFab(seed=21), counts, Part.TRAIN))
    assert 0.75 < auroc(validation, template.score) < 0.985


@pytest.mark.slow
def test_images_are_made_at_a_rate_that_training_can_wait_for() -> None:
    fab = SyntheticFab(seed=0)
    fab.render(0, 0)
    fastest = np.inf
    for start in range(3):
        began = time.perf_counter()
        for _ in fab.stream(40, first_wafer=start):
            pass
        fastest = min(fastest, time.perf_counter() - began)
    # 120 images a second on an idle core of 2023; the bound leaves room for a busy one.
    assert 40 / fastest > 40


def test_the_grid_of_the_readme_shows_every_kind_in_less_than_a_megabyte(tmp_path: Path) -> None:
    path = render_grid(tmp_path / "grid.png")
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as grid:
        assert grid.width > 9 * 160
        assert grid.height > 4 * 160


def test_every_known_kind_is_in_the_test_part(validation: list[SyntheticImage]) -> None:
    assert {image.meta.defect.kind for image in validation if image.meta.defect} == set(KNOWN_KINDS)

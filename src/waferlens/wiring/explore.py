"""``waferlens explore``: the data before any model, as a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from waferlens.evaluation.exploration import ExplorationData
from waferlens.evaluation.report import write_exploration
from waferlens.images.layouts import read_dataset
from waferlens.models.normalise import Normalise
from waferlens.settings.recipe import Recipe
from waferlens.wiring.reading import pack_test, pack_training
from waferlens.wiring.scoring import normalised, read_test_set
from waferlens.wiring.told import Told

_MAX_EXPLORED = 1_000


def explore_data(data: Path, recipe: Recipe, out: Path, *, seed: int, told: Told) -> Path:
    """Write ``out/exploration.html`` and return its path. Works with normal images alone."""
    dataset = read_dataset(data)
    normalise = Normalise(recipe.normalise)
    told.say(f"reading {len(dataset.train):,} normal and {len(dataset.test):,} test images")
    packed = pack_training(dataset, recipe.images, told.count)
    spread = np.unique(np.linspace(0, len(packed) - 1, min(_MAX_EXPLORED, len(packed))).round().astype(np.int64))
    train_images = normalised(packed, spread, normalise)
    content = ExplorationData(train_images=train_images)
    if dataset.test:
        tested = pack_test(dataset, recipe.images, told.count)
        test = read_test_set(dataset.test, tested, normalise, recipe.images)
        content = ExplorationData(
            train_images=train_images,
            test_images=test.images,
            test_defective=test.defective,
            test_masks=test.masks,
            test_has_mask=test.has_mask,
            test_defect_types=test.defect_types,
        )
    told.say("drawing")
    out.mkdir(parents=True, exist_ok=True)
    page = out / "exploration.html"
    write_exploration(content, f"Exploration of {data.name}", page, seed=seed)
    return page

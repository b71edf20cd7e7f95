"""``waferlens explore``: the data before any model, as a page."""

from __future__ import annotations

from pathlib import Path

from waferlens.evaluation.exploration import ExplorationData
from waferlens.evaluation.report import write_exploration
from waferlens.images.layouts import read_dataset
from waferlens.models.normalise import Normalise
from waferlens.settings.recipe import Recipe
from waferlens.training.schedule import spread_evenly
from waferlens.wiring.reading import pack_test, pack_training
from waferlens.wiring.scoring import MAX_EXPLORED, normalised, read_test_set
from waferlens.wiring.told import Told


def explore_data(data: Path, recipe: Recipe, out: Path, *, seed: int, told: Told) -> Path:
    """Write ``out/exploration.html`` and return its path. Works with normal images alone."""
    dataset = read_dataset(data)
    normalise = Normalise(recipe.normalise)
    told.say(f"reading {len(dataset.train):,} normal and {len(dataset.test):,} test images")
    packed = pack_training(dataset, recipe.images, told.count)
    train_images = normalised(packed, spread_evenly(len(packed), MAX_EXPLORED), normalise)
    content = ExplorationData(train_images=train_images)
    if dataset.test:
        tested = pack_test(dataset, recipe.images, told.count)
        test = read_test_set(dataset.test, tested, normalise, recipe.images)
        content = test.exploration(train_images)
    told.say("drawing")
    out.mkdir(parents=True, exist_ok=True)
    page = out / "exploration.html"
    write_exploration(content, f"Exploration of {data.name}", page, seed=seed)
    return page

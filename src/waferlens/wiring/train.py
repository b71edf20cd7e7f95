"""``waferlens train``: from a folder of normal images to a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from waferlens.bundle.contents import BundleConfig, Samples
from waferlens.bundle.manifest import provenance
from waferlens.bundle.model import save_model, write_json
from waferlens.images.cache import PackedImages, pack_images
from waferlens.images.fingerprints import refuse_duplicates
from waferlens.images.layouts import Dataset, read_dataset
from waferlens.images.roi import load_roi
from waferlens.images.splits import Split, split_dataset
from waferlens.settings.environment import cache_folder, num_workers
from waferlens.settings.recipe import Recipe
from waferlens.training.hardware import start_fabric
from waferlens.training.memory import keep_freed_memory
from waferlens.training.run import Fitted, fit, rows_of
from waferlens.wiring.export import finish_bundle
from waferlens.wiring.told import Told

_NUM_SAMPLES = 64
CHECKPOINTS = ".checkpoints"


def train_bundle(data: Path, recipe: Recipe, out: Path, *, seed: int, command: str, told: Told) -> None:
    """Everything from files to a verified bundle in ``out``. A killed run is resumed by the same call.

    Raises DataError and ImageError for data that cannot be used, TrainingError, ParityError.
    """
    keep_freed_memory()
    fabric = start_fabric(recipe.training)
    dataset = read_dataset(data)
    told.say(f"reading {len(dataset.train):,} normal images")
    images = pack_images(dataset.train, recipe.images, cache_folder(), workers=num_workers(), progress=told.count)
    split = split_dataset(
        dataset.train, images.hashes, validation_fraction=recipe.training.validation_fraction, seed=seed
    )
    _refuse_test_images_in(images, dataset, recipe)
    fitted = fit(
        fabric,
        images,
        split,
        recipe.fit_options(),
        roi=None
        if recipe.images.roi is None
        else load_roi(Path(recipe.images.roi), recipe.images).astype(np.float32),
        seed=seed,
        folder=out / CHECKPOINTS,
        watch=told.watch,
        say=told.say,
    )
    if fabric.is_global_zero:
        _save(out, recipe, images, split, fitted, seed)
        finish_bundle(out, provenance(split.fingerprint, seed, command), told.say)
    fabric.barrier()


def _refuse_test_images_in(images: PackedImages, dataset: Dataset, recipe: Recipe) -> None:
    if dataset.test:
        test = pack_images(dataset.test, recipe.images, cache_folder(), workers=num_workers())
        refuse_duplicates(
            {"train": dict(zip(images.names, images.hashes, strict=True)),
             "test": dict(zip(test.names, test.hashes, strict=True))}
        )  # fmt: skip


def _save(out: Path, recipe: Recipe, images: PackedImages, split: Split, fitted: Fitted, seed: int) -> None:
    options = recipe.fit_options().detector
    config = BundleConfig(
        name=f"vae-wafer-{recipe.name}",
        version="v0.1.0",
        seed=seed,
        input_type="uint8" if images.pixels.dtype == np.uint8 else "float32",
        num_parameters=fitted.detector.num_parameters,
        detector=options.model_dump(mode="json"),
        images=recipe.images,
        recipe=recipe.model_dump(mode="json"),
    )
    save_model(out, config, fitted, _samples(images, split))
    write_json(out / "split.json", split.as_dict())
    best = min(range(len(fitted.history)), key=lambda e: fitted.history[e]["validation_reconstruction"])
    write_json(
        out / "metrics.json",
        {
            "num_training_images": len(split.train),
            "num_held_out_images": len(split.validation),
            "num_epochs": len(fitted.history),
            "best_epoch": best,
            "validation_reconstruction": fitted.history[best]["validation_reconstruction"],
            "training_seconds": sum(epoch["seconds"] for epoch in fitted.history),
            "held_out_reconstruction_error": float(fitted.calibration.reconstruction_errors.mean()),
        },
    )


def _samples(images: PackedImages, split: Split) -> Samples:
    parts = []
    for part in (split.train, split.validation):
        rows = rows_of(images, {image.name for image in part})
        spread = np.unique(np.linspace(0, len(rows) - 1, min(_NUM_SAMPLES, len(rows))).round().astype(np.int64))
        parts.append(images.take(rows[spread]))
    return Samples(train=parts[0], held_out=parts[1])

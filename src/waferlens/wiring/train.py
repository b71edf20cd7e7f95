"""``waferlens train``: from a folder of normal images to a bundle."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path

import numpy as np

from waferlens.bundle.contents import BundleConfig, Samples
from waferlens.bundle.manifest import FILE_NAME as MANIFEST
from waferlens.bundle.manifest import provenance, verify_bundle
from waferlens.bundle.model import save_model, write_json
from waferlens.errors import BundleError, RegistryError
from waferlens.images.cache import PackedImages
from waferlens.images.fingerprints import refuse_duplicates
from waferlens.images.layouts import Dataset, read_dataset
from waferlens.images.roi import load_roi
from waferlens.images.splits import Split, split_dataset
from waferlens.records import FloatArray
from waferlens.settings.recipe import Recipe
from waferlens.settings.service import tracking_url
from waferlens.training.hardware import start_fabric
from waferlens.training.loop import best_epoch
from waferlens.training.memory import keep_freed_memory
from waferlens.training.run import Fitted, fit, rows_of, run_name
from waferlens.training.schedule import spread_evenly
from waferlens.wiring.export import finish_bundle
from waferlens.wiring.reading import pack_test, pack_training
from waferlens.wiring.told import SILENT, Told

_NUM_SAMPLES = 64
CHECKPOINTS = ".checkpoints"


def train_bundle(data: Path, recipe: Recipe, out: Path, *, seed: int, command: str, told: Told) -> None:
    """Everything from files to a verified bundle in ``out``. A killed run is resumed by the same call.

    A bundle that this very run has finished before is left as it is. Raises DataError and ImageError for data that
    cannot be used, BundleError when ``out`` holds the bundle of another run, TrainingError, ParityError.
    """
    keep_freed_memory()
    fabric = start_fabric(recipe.training)
    told = told if fabric.is_global_zero else SILENT
    dataset = read_dataset(data)
    told.say(f"reading {len(dataset.train):,} normal images")
    images = pack_training(dataset, recipe.images, told.count)
    # Where a bundle cannot be written, better to hear it now than after an hour of training.
    out.mkdir(parents=True, exist_ok=True)
    split = split_dataset(
        dataset.train, images.hashes, validation_fraction=recipe.training.validation_fraction, seed=seed
    )
    _refuse_test_images_in(images, dataset, recipe)
    roi = (
        None if recipe.images.roi is None else load_roi(Path(recipe.images.roi), recipe.images).astype(np.float32)
    )
    run = run_name(split, recipe.fit_options(), seed)
    whole = _bundle_name(run, recipe, roi)
    if _is_finished(out, whole):
        told.say(f"{out} is finished already; nothing to do")
        return
    started = time.perf_counter()
    fitted = fit(
        fabric,
        images,
        split,
        recipe.fit_options(),
        roi=roi,
        seed=seed,
        folder=out / CHECKPOINTS,
        run=run,
        watch=told.watch,
        say=told.say,
    )
    if fabric.is_global_zero:
        _save(out, recipe, images, split, fitted, seed, time.perf_counter() - started)
        finish_bundle(out, {**provenance(split.fingerprint, seed, command), "run": whole}, told.say)
        shutil.rmtree(out / CHECKPOINTS)
        _track(out, told)
        told.say(f"wrote {out}; read {out / 'card.md'}, then try: waferlens evaluate {out} {data} --out REPORT")
    fabric.barrier()


def _track(out: Path, told: Told) -> None:
    """Log the run where a server is configured.

    A bundle is worth more than its entry there: a loss is only said.
    """
    url = tracking_url()
    if url is None:
        return
    from waferlens.lifecycle.tracking import track_training

    try:
        told.say(f"logged as run {track_training(url, out)}")
    except (RegistryError, ModuleNotFoundError) as error:
        told.say(f"not logged: {error}")


def _bundle_name(run: str, recipe: Recipe, roi: FloatArray | None) -> str:
    """A hash of everything that a bundle depends on: the training run, and what only calibration reads."""
    told = json.dumps([run, recipe.model_dump(mode="json")])
    return hashlib.sha256(told.encode() + (b"" if roi is None else roi.tobytes())).hexdigest()


def _is_finished(out: Path, run: str) -> bool:
    """Whether ``out`` holds the finished bundle of this run; another run's bundle is never overwritten."""
    if not (out / MANIFEST).exists():
        return False
    found = verify_bundle(out)["provenance"].get("run", "")
    if found != run:
        raise BundleError(
            f"{out} holds a finished bundle of another run; remove it or choose another --out",
            expected=f"data, recipe and seed {run[:12]}",
            found=found[:12],
        )
    return True


def _refuse_test_images_in(images: PackedImages, dataset: Dataset, recipe: Recipe) -> None:
    if dataset.test:
        test = pack_test(dataset, recipe.images)
        refuse_duplicates(
            {"train": dict(zip(images.names, images.hashes, strict=True)),
             "test": dict(zip(test.names, test.hashes, strict=True))}
        )  # fmt: skip


def _save(
    out: Path, recipe: Recipe, images: PackedImages, split: Split, fitted: Fitted, seed: int, seconds: float
) -> None:
    """seconds: that fitting took, whitening and calibration included; of a resumed run what was left of it."""
    config = BundleConfig(
        name=f"vae-wafer-{recipe.name}",
        version="v0.1.0",
        seed=seed,
        input_type="uint8" if images.pixels.dtype == np.uint8 else "float32",
        num_parameters=fitted.detector.num_parameters,
        detector=fitted.options.model_dump(mode="json"),
        images=recipe.images,
        recipe=recipe.model_dump(mode="json"),
    )
    save_model(out, config, fitted, _samples(images, split))
    write_json(out / "split.json", split.as_dict())
    best = best_epoch(fitted.history, recipe.training)
    write_json(
        out / "metrics.json",
        {
            "num_training_images": len(split.train),
            "num_held_out_images": len(split.validation),
            "num_epochs": len(fitted.history),
            "best_epoch": best,
            "validation_reconstruction": fitted.history[best]["validation_reconstruction"],
            "training_seconds": sum(epoch["seconds"] for epoch in fitted.history),
            "fit_seconds": seconds,
            "held_out_reconstruction_error": float(fitted.calibration.reconstruction_errors.mean()),
        },
    )


def _samples(images: PackedImages, split: Split) -> Samples:
    parts = []
    for part in (split.train, split.validation):
        rows = rows_of(images, {image.name for image in part})
        parts.append(images.take(rows[spread_evenly(len(rows), _NUM_SAMPLES)]))
    return Samples(train=parts[0], held_out=parts[1])

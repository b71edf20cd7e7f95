"""``waferlens robustness``: what ageing lamps, loose stages and lossy files do to a bundle's decisions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from waferlens.bundle.contents import load_config, load_thresholds, read_json
from waferlens.decision.thresholds import Thresholds
from waferlens.engines.interface import Engine
from waferlens.engines.parity import default_engine
from waferlens.engines.runtimes import open_engine
from waferlens.evaluation.plots_robustness import robustness_figure
from waferlens.evaluation.robustness import Robustness, robustness
from waferlens.images.cache import PackedImages
from waferlens.images.disturbances import DISTURBANCES, Disturbance, Level, disturb
from waferlens.images.fingerprints import refuse_duplicates
from waferlens.images.layouts import read_dataset
from waferlens.images.splits import Split
from waferlens.records import ImageRef, Label, Pixels
from waferlens.training.schedule import seed_for, spread_evenly
from waferlens.wiring.reading import pack_test
from waferlens.wiring.scoring import require_labels
from waferlens.wiring.told import Told
from waferlens.wiring.trusted import verify_configured

MAX_IMAGES = 200
"""Images a class, unless told otherwise. Each is inspected once for every level of every disturbance."""

_BATCH = 16
_DOTS_PER_INCH = 150

Rows = npt.NDArray[np.int64]


def robustness_bundle(
    bundle: Path, data: Path, out: Path, *, num_images: int, seed: int, command: str, told: Told
) -> dict[str, Any]:
    """Write ``out/robustness.json`` and ``out/robustness.png``; returns the former's content.

    num_images: of each class, at most. Raises BundleError, DataError (no labelled image, a test image that the
    bundle was trained on) and EngineError.
    """
    origin = verify_configured(bundle)["provenance"]
    config, thresholds = load_config(bundle), load_thresholds(bundle)
    split = Split.from_dict(read_json(bundle / "split.json"))
    dataset = read_dataset(data)
    told.say(f"reading {len(dataset.test):,} test images")
    packed = pack_test(dataset, config.images, told.count)
    require_labels(dataset.test)
    test_hashes = dict(zip(packed.names, packed.hashes, strict=True))
    refuse_duplicates({"the bundle's training": split.hashes("train"), "test": test_hashes})
    chosen = default_engine(bundle)
    running = open_engine(chosen, bundle, threads=torch.get_num_threads())
    found = measure_robustness(
        running, dataset.test, packed, thresholds, num_images=num_images, seed=seed, told=told
    )
    facts = {"bundle": config.name, "version": config.version, "engine": chosen, "command": command}
    content = {**facts, "seed": seed, **found.as_dict(), "provenance": origin}
    out.mkdir(parents=True, exist_ok=True)
    (out / "robustness.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    robustness_figure(found).savefig(out / "robustness.png", dpi=_DOTS_PER_INCH)
    return content


def measure_robustness(
    engine: Engine,
    refs: Sequence[ImageRef],
    packed: PackedImages,
    thresholds: Thresholds,
    *,
    num_images: int = MAX_IMAGES,
    seed: int = 0,
    told: Told,
) -> Robustness:
    """Score the images as they are and at every level, by the score that the bundle decides on.

    refs, packed: labelled images in the same order. num_images: of each class, at most, evenly over the list,
    and so over the defect types.
    """
    defective = np.asarray([ref.label is Label.DEFECTIVE for ref in refs])
    rows = _rows(defective, num_images)
    num_levels = sum(not level.is_none for kind in DISTURBANCES for level in kind.levels)
    told.say(f"disturbing {len(rows):,} images at {num_levels} levels of {len(DISTURBANCES)} disturbances")
    total = len(rows) * (1 + num_levels)
    done = 0

    def scores(kind: Disturbance, level: Level) -> npt.NDArray[np.float64]:
        nonlocal done
        found = []
        for pixels in _disturbed(packed, rows, kind, level, seed):
            found.append(getattr(engine.infer(pixels), thresholds.score_name).astype(np.float64))
            done += len(pixels)
            told.count(done, total)
        return np.concatenate(found)

    undisturbed = scores(DISTURBANCES[0], DISTURBANCES[0].levels[0])
    disturbed = [
        (kind, {level.name: scores(kind, level) for level in kind.levels if not level.is_none})
        for kind in DISTURBANCES
    ]
    return robustness(
        defective[rows],
        undisturbed,
        disturbed,
        review_threshold=thresholds.review,
        reject_threshold=thresholds.reject,
        score_name=thresholds.score_name,
    )


def _rows(defective: npt.NDArray[np.bool_], num_images: int) -> Rows:
    """Up to ``num_images`` of each class, in order."""
    members = [np.flatnonzero(defective == kind) for kind in (False, True)]
    kept = [of_class[spread_evenly(len(of_class), num_images)] for of_class in members if of_class.size]
    return np.sort(np.concatenate(kept))


def _disturbed(packed: PackedImages, rows: Rows, kind: Disturbance, level: Level, seed: int) -> Iterator[Pixels]:
    """Batches (B, 256, 256). An image draws by its name, so that neither the cap nor the others matter to it."""
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        batch: Pixels = packed.take(part)
        for image, row in zip(batch, part, strict=True):
            rng = np.random.default_rng(seed_for(seed, kind.key, packed.names[row]))
            image[...] = disturb(image, kind, level, rng)
        yield batch

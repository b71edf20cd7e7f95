"""``waferlens pod``: from which size on does a bundle find defects, measured on normal images alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from waferlens.bundle.contents import BundleConfig, load_config, load_thresholds, read_json
from waferlens.bundle.model import load_detector
from waferlens.engines.parity import default_engine
from waferlens.engines.runtimes import open_engine
from waferlens.errors import DataError
from waferlens.evaluation.plots_pod import pod_figure, save_figure
from waferlens.evaluation.pod_study import Alarm, PodStudy
from waferlens.images.cache import PackedImages
from waferlens.images.fingerprints import refuse_duplicates
from waferlens.images.layouts import Dataset, read_dataset
from waferlens.images.roi import Mask
from waferlens.images.splits import Split
from waferlens.models.detector import Detector
from waferlens.records import ImageRef, Label
from waferlens.training.schedule import spread_evenly
from waferlens.wiring.planted import Judge, Normals, measure_pod
from waferlens.wiring.reading import pack_test, pack_training
from waferlens.wiring.told import Told
from waferlens.wiring.trusted import verify_configured

MAX_IMAGES = 60
"""Normal images, unless told otherwise: MIL-HDBK-1823A asks for 60 targets or more."""

UNSEEN = "normal images that the bundle never saw"
HELD_OUT = (
    "the bundle's own held-out normals: calibration and thresholds were learned from them, so their rate of false "
    "calls is flattering"
)


def pod_bundle(
    bundle: Path,
    data: Path,
    out: Path,
    *,
    num_images: int,
    seed: int,
    alarm: Alarm,
    command: str,
    told: Told,
) -> dict[str, Any]:
    """Write ``out/pod.json``, ``out/pod.svg`` and ``out/pod.png``; returns the first one's content.

    num_images: normal images, at most. Raises BundleError, DataError (no normal image, one that the bundle was
    trained on, none that passes as it is) and EngineError.
    """
    origin = verify_configured(bundle)["provenance"]
    config, thresholds = load_config(bundle), load_thresholds(bundle)
    split = Split.from_dict(read_json(bundle / "split.json"))
    normals = _find_normals(read_dataset(data), split, config, num_images, told)
    chosen = default_engine(bundle)
    running = open_engine(chosen, bundle, threads=torch.get_num_threads())
    within = _judged(load_detector(bundle, verify=False))
    judge = Judge(infer=running.infer, thresholds=thresholds, alarm=alarm)
    study = measure_pod(judge, normals, within=within, seed=seed, told=told)
    facts = {"bundle": config.name, "version": config.version, "engine": chosen, "command": command}
    content = {**facts, **study.as_dict(), "provenance": origin}
    out.mkdir(parents=True, exist_ok=True)
    (out / "pod.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    save_figure(pod_figure(study), out)
    return content


def pod_of_test(
    judge: Judge, refs: Sequence[ImageRef], packed: PackedImages, detector: Detector, *, seed: int, told: Told
) -> PodStudy | None:
    """The same on the normal images of a test set, for the report. None, with a word, where there is none to use.

    refs, packed: in the same order, none of them known to the bundle.
    """
    try:
        normals = _normals_of_test(refs, packed, MAX_IMAGES)
        return measure_pod(judge, normals, within=_judged(detector), seed=seed, told=told)
    except DataError as error:
        told.say(f"no probability of detection: {error}")
        return None


def _normals_of_test(refs: Sequence[ImageRef], packed: PackedImages, num_images: int) -> Normals:
    rows = np.flatnonzero([ref.label is Label.NORMAL for ref in refs])
    if not len(rows):
        raise DataError("nothing to plant on", expected="normal test images", found=f"{len(refs)} others")
    return _taken(refs, packed, rows, num_images, UNSEEN)


def _judged(detector: Detector) -> Mask:
    """The region of interest, (256, 256) bool."""
    return np.asarray(detector.error_map.roi[0, 0].numpy() > 0)


def _find_normals(dataset: Dataset, split: Split, config: BundleConfig, num_images: int, told: Told) -> Normals:
    """Normal test images; without any, normal images that are new to the bundle; without any, held-out ones."""
    if any(ref.label is Label.NORMAL for ref in dataset.test):
        told.say(f"reading {len(dataset.test):,} test images")
        packed = pack_test(dataset, config.images, told.count)
        normals = _normals_of_test(dataset.test, packed, num_images)
        hash_of = dict(zip(packed.names, packed.hashes, strict=True))
        tested = {name: hash_of[name] for name in normals.names}
        refuse_duplicates({"what the bundle knows": _hashes(split), "test": tested})
        return normals
    told.say(f"reading {len(dataset.train):,} normal images")
    packed = pack_training(dataset, config.images, told.count)
    known, held_out = set(_hashes(split).values()), set(split.hashes("validation").values())
    new = np.flatnonzero([sha256 not in known for sha256 in packed.hashes])
    kept = np.flatnonzero([sha256 in held_out for sha256 in packed.hashes])
    if not len(new) and not len(kept):
        raise DataError(
            "nothing to plant on",
            expected="normal images that the bundle was not trained on, such as test/good",
            found=f"{len(packed)} images, all of its training part",
        )
    rows, source = (new, UNSEEN) if len(new) else (kept, HELD_OUT)
    return _taken(dataset.train, packed, rows, num_images, source)


def _hashes(split: Split) -> dict[str, str]:
    return split.hashes("train") | split.hashes("validation")


def _taken(
    refs: Sequence[ImageRef],
    packed: PackedImages,
    rows: npt.NDArray[np.int64],
    num_images: int,
    source: str,
) -> Normals:
    rows = rows[spread_evenly(len(rows), num_images)]
    return Normals(
        pixels=packed.take(rows),
        names=tuple(packed.names[row] for row in rows),
        groups=tuple(refs[row].group for row in rows),
        source=source,
    )

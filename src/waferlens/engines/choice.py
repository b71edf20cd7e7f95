"""Which engine and which batch this machine serves a bundle with: measured, not believed.

Candidates are the engines that passed the bundle's parity gate and open here. The fastest for one image wins.
Its batch grows only as long as it gives every image the same bytes as alone and at least ``MIN_GAIN`` more
images a second: on a CPU most networks already fill a core with one image, and then a batch only makes its
first image wait.

Measured in a process of its own, so that a server holds the memory of the one runtime that it uses.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from waferlens.bundle.contents import load_samples, read_json
from waferlens.bundle.manifest import FILE_NAME
from waferlens.engines.interface import Engine
from waferlens.engines.parity import PARITY_FILE, PREFERENCE, gate_images
from waferlens.engines.runtimes import open_engine
from waferlens.errors import EngineError
from waferlens.records import Pixels

MIN_GAIN = 0.15
_BATCHES = (2, 4, 8)
_WARM_UP = 2
_CALLS = 8
_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Choice:
    """engine: its name. max_batch: images in one call. single_ms: median of one image of every candidate."""

    engine: str
    max_batch: int
    single_ms: dict[str, float]


def choose_engine(bundle: Path, *, threads: int, cache: Path | None) -> Choice:
    """The measured default for a bundle (already verified) on this machine; remembered in the folder ``cache``.

    threads: of every engine. Raises EngineError when no engine of the bundle opens here.
    """
    remembered = None if cache is None else cache / f"choice-{_fingerprint(bundle, threads)}.json"
    if remembered is not None and remembered.is_file():
        try:
            return Choice(**json.loads(remembered.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            pass  # a torn file: measure again and replace it
    asked = [sys.executable, "-m", "waferlens.engines.choice", str(bundle), str(threads)]
    ended = subprocess.run(asked, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    if ended.returncode != 0:
        lines = ended.stderr.strip().splitlines() or ["no word"]
        raise EngineError(f"{bundle}: the engines cannot be measured", found=lines[-1][:200])
    choice = Choice(**json.loads(ended.stdout.splitlines()[-1]))
    if remembered is not None:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        temporary = remembered.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(asdict(choice)), encoding="utf-8")
        temporary.replace(remembered)
    return choice


def measure_choice(bundle: Path, *, threads: int) -> Choice:
    """Measure here and now, in this process. Engines take turns, so that a slow spell slows all of them."""
    pixels = gate_images(load_samples(bundle).held_out)
    engines = _candidates(bundle, threads)
    if not engines:
        raise EngineError(f"{bundle}: no engine opens on this machine", expected="the 'serve' or 'train' extra")
    for engine in engines.values():
        for _ in range(_WARM_UP):
            engine.infer(pixels[:1])
    seconds = {name: np.empty(_CALLS) for name in engines}
    for call in range(_CALLS):
        for name, engine in engines.items():
            seconds[name][call] = _timed(engine, pixels[:1])
    single = {name: float(np.median(taken)) for name, taken in seconds.items()}
    best = min(single, key=lambda name: single[name])
    return Choice(
        engine=best,
        max_batch=useful_batch(engines[best], pixels, single[best]),
        single_ms={name: round(1e3 * taken, 3) for name, taken in single.items()},
    )


def useful_batch(engine: Engine, pixels: Pixels, single_seconds: float) -> int:
    """The largest batch up to which each doubling gains images a second and changes no byte of any answer."""
    best, rate = 1, 1 / single_seconds
    for batch in _BATCHES:
        images = pixels[np.arange(batch) % len(pixels)]
        if not gives_the_same_bytes(engine, pixels, batch):
            break
        found = batch / float(np.median([_timed(engine, images) for _ in range(_CALLS)]))
        if found < (1 + MIN_GAIN) * rate:
            break
        best, rate = batch, found
    return best


def gives_the_same_bytes(engine: Engine, pixels: Pixels, batch: int) -> bool:
    """Whether every image (n, 256, 256) gets the same bytes alone as among others, in batches of this size."""
    alone = [engine.infer(pixels[index : index + 1]) for index in range(len(pixels))]
    together = [engine.infer(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    return all(
        np.concatenate(one).tobytes() == np.concatenate(many).tobytes()
        for one, many in zip(zip(*alone, strict=True), zip(*together, strict=True), strict=True)
    )


def _candidates(bundle: Path, threads: int) -> dict[str, Engine]:
    passed = {entry["engine"] for entry in read_json(bundle / PARITY_FILE)["engines"] if entry["passed"]}
    engines: dict[str, Engine] = {}
    for name in PREFERENCE:
        if name not in passed:
            continue
        try:
            engines[name] = open_engine(name, bundle, threads=threads)
        except EngineError:  # this runtime is not installed here
            continue
    return engines


def _timed(engine: Engine, images: Pixels) -> float:
    started = time.perf_counter()
    engine.infer(images)
    return time.perf_counter() - started


def _fingerprint(bundle: Path, threads: int) -> str:
    """Of everything that the measurement depends on: bundle, processor, cores, versions of the runtimes."""
    hashed = hashlib.sha256((bundle / FILE_NAME).read_bytes())
    cpu = Path("/proc/cpuinfo")
    models = (
        {line for line in cpu.read_text().splitlines() if line.startswith("model name")} if cpu.exists() else ""
    )
    facts = [platform.machine(), platform.python_version(), sorted(models), os.cpu_count(), threads]
    for name in ("waferlens", "openvino", "onnxruntime", "torch"):
        try:
            facts.append(version(name))
        except ImportError:
            facts.append(None)
    hashed.update(json.dumps(facts).encode())
    return hashed.hexdigest()[:32]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure_choice(Path(sys.argv[1]), threads=int(sys.argv[2])))) + "\n")

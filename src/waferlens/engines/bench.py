"""Latency and throughput of every engine on this machine, beside the least time that arithmetic would take.

Engines take turns on every batch, so that a machine that slows down for a while slows all of them down.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from waferlens.bundle.contents import load_samples, read_json
from waferlens.bundle.model import load_detector
from waferlens.engines.interface import Engine
from waferlens.engines.operations import count_operations, measure_rate
from waferlens.engines.parity import PARITY_FILE
from waferlens.engines.runtimes import ENGINES, export_path, open_engine
from waferlens.records import Pixels

_WARM_UP = 3
_MIN_CALLS = 12


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One engine at one batch size.

    mean_ms, p50_ms, p99_ms: of one call with a whole batch, canonical pixels in, five outputs out.
    floor_ms: operations of the batch over the measured float32 matrix product rate of as many threads. An 8-bit
    engine may go below it: it does cheaper operations.
    speedup: images a second over those of ``pytorch`` at the same batch size in the same run.
    parity: largest score difference from the reference in normal deviations, its bound, and the gate's verdict.
    size_mb: of the engine's files. peak_mb: resident memory of a process that runs nothing else, at its peak.
    """

    engine: str
    device: str
    batch: int
    threads: int
    num_calls: int
    mean_ms: float
    p50_ms: float
    p99_ms: float
    images_per_second: float
    floor_ms: float
    speedup: float
    parity: dict[str, Any]
    size_mb: float
    peak_mb: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def bench_bundle(
    bundle: Path,
    *,
    batches: Sequence[int],
    threads: int,
    num_images: int,
    count: Callable[[int, int], None],
) -> list[BenchRow]:
    """Time every engine of a bundle at every batch size over ``num_images`` images (at least 12 calls).

    On a machine with CUDA the PyTorch engines are timed on it as well.
    """
    places = [(name, "cpu") for name in ENGINES]
    if torch.cuda.is_available():
        places += [("pytorch", "cuda"), ("torchscript", "cuda")]
    engines = {place: open_engine(place[0], bundle, threads=threads, device=place[1]) for place in places}
    pixels, rate = load_samples(bundle).held_out, measure_rate(threads)
    operations = count_operations(load_detector(bundle, verify=False))
    memory = {
        place: _peak_megabytes(place[0], bundle, max(batches), threads) for place in places if place[1] == "cpu"
    }
    rows: list[BenchRow] = []
    for done, batch in enumerate(batches):
        num_calls = max(_MIN_CALLS, -(-num_images // batch))
        seconds = _take_turns(engines, _batch_of(pixels, batch), num_calls)
        reference = float(np.mean(seconds["pytorch", "cpu"]))
        for place, taken in seconds.items():
            rows.append(
                BenchRow(
                    engine=place[0],
                    device=place[1],
                    batch=batch,
                    threads=threads,
                    num_calls=num_calls,
                    mean_ms=1e3 * float(np.mean(taken)),
                    p50_ms=1e3 * float(np.median(taken)),
                    p99_ms=1e3 * float(np.quantile(taken, 0.99)),
                    images_per_second=batch / float(np.mean(taken)),
                    floor_ms=1e3 * batch * operations / rate,
                    speedup=reference / float(np.mean(taken)),
                    parity=_parity_of(place[0], bundle),
                    size_mb=_size_megabytes(place[0], bundle),
                    peak_mb=memory.get(place),
                )
            )
        count(done + 1, len(batches))
    return rows


def best_batch(rows: Sequence[BenchRow], engine: str, images_per_second: float) -> BenchRow | None:
    """The row of this engine that reaches the throughput with the lowest p99; None when none does."""
    enough = [row for row in rows if row.engine == engine and row.images_per_second >= images_per_second]
    return min(enough, key=lambda row: row.p99_ms, default=None)


def single_image_latency(infer: Callable[[Pixels], object], one_image: Pixels, *, num_calls: int = 15) -> float:
    """Median milliseconds of a call with one image, (1, 256, 256), on one thread of PyTorch."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(_WARM_UP):
            infer(one_image)
        seconds = np.empty(num_calls)
        for call in range(num_calls):
            started = time.perf_counter()
            infer(one_image)
            seconds[call] = time.perf_counter() - started
    finally:
        torch.set_num_threads(before)
    return 1e3 * float(np.median(seconds))


def _take_turns(
    engines: dict[tuple[str, str], Engine], pixels: Pixels, num_calls: int
) -> dict[tuple[str, str], npt.NDArray[np.float64]]:
    seconds = {place: np.empty(num_calls) for place in engines}
    for engine in engines.values():
        for _ in range(_WARM_UP):
            engine.infer(pixels)
    for call in range(num_calls):
        for place, engine in engines.items():
            started = time.perf_counter()
            engine.infer(pixels)
            seconds[place][call] = time.perf_counter() - started
    return seconds


def _batch_of(pixels: Pixels, batch: int) -> Pixels:
    repeated: Pixels = pixels[np.arange(batch) % len(pixels)]
    return repeated


def _parity_of(engine: str, bundle: Path) -> dict[str, Any]:
    if engine == "pytorch":
        return {"max_difference": 0.0, "bound": 0.0, "passed": True, "reference": True}
    entries = {entry["engine"]: entry for entry in read_json(bundle / PARITY_FILE)["engines"]}
    return {key: entries[engine][key] for key in ("max_difference", "bound", "passed")}


def _size_megabytes(engine: str, bundle: Path) -> float:
    files = [bundle / "model.safetensors", bundle / "calibration.safetensors"]
    if engine != "pytorch":
        first = bundle / export_path(engine)
        files = [first, first.with_suffix(".bin")] if first.suffix == ".xml" else [first]
    return sum(file.stat().st_size for file in files) / 1e6


def _peak_megabytes(engine: str, bundle: Path, batch: int, threads: int) -> float:
    """In a process of its own, started fresh: what an inspection worker with this engine would hold."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_here, (engine, bundle, batch, threads))


def _peak_here(engine: str, bundle: Path, batch: int, threads: int) -> float:
    running = open_engine(engine, bundle, threads=threads)
    pixels = _batch_of(load_samples(bundle).held_out, batch)
    for _ in range(2):
        running.infer(pixels)
    return _peak_resident_kilobytes() / 1e3


def _peak_resident_kilobytes() -> float:
    """Of this process alone. Linux's ``ru_maxrss`` survives exec: it would count the memory of the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = (line.split() for line in status.read_text(encoding="ascii", errors="replace").splitlines())
        kibibytes = next(float(words[1]) for words in lines if words[0] == "VmHWM:")
    else:
        kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes * 1.024

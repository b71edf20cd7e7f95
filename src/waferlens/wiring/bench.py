"""``waferlens bench``: times a bundle's engines and keeps the rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from waferlens.engines.bench import BenchRow, bench_bundle, best_batch
from waferlens.engines.parity import default_engine
from waferlens.training.memory import keep_freed_memory
from waferlens.wiring.trusted import verify_configured


def run_bench(
    bundle: Path,
    *,
    batches: Sequence[int],
    threads: int,
    num_images: int,
    throughput: float | None,
    out: Path | None,
    count: Callable[[int, int], None],
) -> tuple[list[BenchRow], BenchRow | None]:
    """All rows, and the best batch of the default engine for ``throughput`` images a second, if asked for."""
    verify_configured(bundle)
    keep_freed_memory()
    rows = bench_bundle(bundle, batches=batches, threads=threads, num_images=num_images, count=count)
    if out is not None:
        out.write_text(json.dumps([row.as_dict() for row in rows], indent=2) + "\n", encoding="utf-8")
    best = None if throughput is None else best_batch(rows, default_engine(bundle), throughput)
    return rows, best

"""``inspect``, ``export`` and ``bench``: using a bundle and knowing what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waferlens.cli import console, tables
from waferlens.cli.arguments import AsJson, BundleFolder


def inspect(
    bundle: BundleFolder,
    files: Annotated[list[Path], typer.Argument(help="Image files.", show_default=False)],
    heatmaps: Annotated[
        Path | None, typer.Option(help="Folder for a PNG of each image: image, expected, deviation.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Instead of the bundle's default engine.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="For one image.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Inspect image files: PASS, REVIEW or REJECT, with score, p-value and confidence.

    A file that cannot be read is REVIEW with the reason, never PASS, and makes the exit code 1.
    """
    from waferlens.inspection.files import inspect_files
    from waferlens.inspection.inspector import Inspector
    from waferlens.settings.environment import bundle_key

    inspector = Inspector.load(bundle, engine=engine, threads=threads, public_key=bundle_key())
    results = inspect_files(inspector, files, bundle, heatmaps)
    failed = 0
    shown = []
    for result in results:
        failed += result.failed
        if as_json:
            console.print_json_line(result.as_dict())
        else:
            shown.append(result)
    if not as_json:
        tables.print_inspections(shown)
    if failed:
        raise typer.Exit(1)


def export(
    bundle: BundleFolder,
    as_json: AsJson = False,
) -> None:
    """Write TorchScript, ONNX and OpenVINO (32 and 8 bit) again and hold each to PyTorch's scores.

    `train` does this already; run it on the machine that will serve, whose processor may round differently.
    """
    from waferlens.wiring.export import export_bundle

    with console.progress_bars() as bars:
        parity = export_bundle(bundle, bars.say)
    if as_json:
        console.print_json(parity)
    else:
        tables.print_parity(parity)


def bench(
    bundle: BundleFolder,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Batch size; may be repeated. [1 8 32 64]")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of every engine.")] = 1,
    images: Annotated[int, typer.Option(min=1, help="Timed at every batch size, in 12 calls or more.")] = 100,
    throughput: Annotated[
        float | None, typer.Option(help="Images a second that must be reached: names the best batch.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the rows to this JSON file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Time every engine: mean, median and 99th percentile of a call, images a second, memory, size, parity."""
    from waferlens.wiring.bench import run_bench

    with console.progress_bars() as bars:
        rows, best = run_bench(
            bundle,
            batches=batch or [1, 8, 32, 64],
            threads=threads,
            num_images=images,
            throughput=throughput,
            out=out,
            count=bars.count,
        )
    if as_json:
        console.print_json([row.as_dict() for row in rows])
        return
    tables.print_bench([row.as_dict() for row in rows])
    if throughput is not None:
        tables.print_best_batch(throughput, None if best is None else best.as_dict())

"""``triton export``: a bundle for NVIDIA Triton Inference Server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waferlens.cli import console
from waferlens.cli.arguments import AsJson, BundleFolder

app = typer.Typer(no_args_is_help=True, help="Serve bundles with NVIDIA Triton Inference Server.")


@app.command()
def export(
    bundle: BundleFolder,
    out: Annotated[Path, typer.Argument(help="Folder for the repositories, new or in use.", show_default=False)],
    environment: Annotated[
        Path | None, typer.Option(help="For the Python backend: absolute folder of an environment with PyTorch.")
    ] = None,
    gpu: Annotated[
        list[int] | None, typer.Option(min=0, help="As the server numbers them; may be repeated. [0]")
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, max=256, help="Images in one call.")] = 8,
    max_queue: Annotated[int, typer.Option(min=1, help="Requests that may wait; more are refused at once.")] = 64,
    keep: Annotated[int, typer.Option(min=1, max=5, help="Versions held ready, this one among them.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Verify a bundle and write it as two model repositories, OUT/pytorch and OUT/python.

    The first is for production: the PyTorch backend on GPUs. The second serves the same graph with the Python
    backend. A bundle of another version becomes the one that is served and leaves the older one in place:
    exporting that one again is the rollback.
    """
    from waferlens.engines.triton_repository import TritonOptions
    from waferlens.wiring.triton import export_triton

    options = TritonOptions(
        keep=keep,
        max_batch=max_batch,
        max_queue=max_queue,
        gpus=tuple(gpu or [0]),
        python_environment=environment,
    )
    told = export_triton(bundle, out, options)
    if as_json:
        console.print_json(told)
        return
    console.print_line(f"{told['model']} {told['version']} is version {told['number']} to Triton")
    console.print_line(f"{told['pytorch']}: PyTorch backend, GPU {', '.join(map(str, options.gpus))}")
    console.print_line(f"{told['python']}: Python backend, CPU")

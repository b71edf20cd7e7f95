"""A training run on disk, so that a killed run goes on where it stood. Knows nothing of the loop's order.

One file, replaced in one rename: it holds either the old state or the new one, never half of each. It is read
with ``weights_only``: tensors and plain numbers, no code.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from waferlens.errors import TrainingError

FILE_NAME = "checkpoint.pt"


@dataclass(kw_only=True)
class TrainingState:
    """Where a run stands. ``step`` counts within ``epoch``; ``sums`` are the running totals of this epoch.

    history: one entry per finished epoch. best_*: the epoch whose weights are kept so far.
    """

    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_weights: dict[str, Tensor] = field(default_factory=dict)


def save_checkpoint(
    folder: Path, state: TrainingState, weights: dict[str, Any], optimiser: dict[str, Any], run: str
) -> None:
    """Write the whole state; ``run`` names what is being trained and must match on resume."""
    content = {"run": run, "state": asdict(state), "weights": weights, "optimiser": optimiser}
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (FILE_NAME + ".tmp")
    with temporary.open("wb") as file:
        _write(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE_NAME)


def _write(content: dict[str, Any], file: BinaryIO) -> None:
    """Raises what stopped it, a full disk or Ctrl-C: PyTorch's writer would cover it with an error of its own."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError | KeyboardInterrupt):
            raise error.__context__ from None
        raise


def load_checkpoint(folder: Path, run: str) -> tuple[TrainingState, dict[str, Any], dict[str, Any]] | None:
    """State, weights and optimiser state, or None when there is nothing to resume.

    Raises TrainingError when the checkpoint is of another run (other data, recipe or seed) or cannot be read.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    content = _read(path)
    if content["run"] != run:
        raise TrainingError(
            f"{path} belongs to another run; remove it or choose another --out",
            expected=f"data, recipe and seed {run[:12]}",
            found=content["run"][:12],
        )
    return TrainingState(**content["state"]), content["weights"], content["optimiser"]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # RuntimeError, EOFError, UnpicklingError ...: the reader raises anything
        raise TrainingError(
            f"{path} cannot be read; remove it to start again",
            expected="a checkpoint of tensors and plain numbers",
            found=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}",
        ) from error
    if not isinstance(content, dict) or set(content) != {"run", "state", "weights", "optimiser"}:
        raise TrainingError(f"{path} is not a checkpoint of this version; remove it to start again")
    return content

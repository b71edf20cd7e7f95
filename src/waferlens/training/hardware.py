"""Which device and number format a run uses. Knows nothing of networks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric

from waferlens.training.options import TrainingOptions

Precision = Literal["32-true", "bf16-mixed"]


def start_fabric(options: TrainingOptions) -> Fabric:
    """The device, the processes and the number format of this run. CUDA where there is one, else the CPU.

    With more than one device the script is started again for each of them and they share every batch
    (distributed data parallel).
    """
    # Its remarks on number formats go to the terminal unasked; the command tells what it does.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=options.devices,
        strategy="ddp" if options.devices > 1 else "auto",
        precision=resolve_precision(options.precision),
    )
    fabric.launch()
    return fabric


def resolve_precision(precision: str) -> Precision:
    """bf16 where the processor multiplies it natively (it then wins by about 2), else float32.

    Weights, losses and the optimiser stay in float32 either way. The choice depends on the processor alone, not
    on a timing, so the same machine always trains the same way.
    """
    if precision == "auto":
        native = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else _cpu_multiplies_bf16()
        return "bf16-mixed" if native else "32-true"
    return "bf16-mixed" if precision == "bf16" else "32-true"


def _cpu_multiplies_bf16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    flags = cpuinfo.read_text(encoding="ascii", errors="replace")
    return "avx512_bf16" in flags or "amx_bf16" in flags

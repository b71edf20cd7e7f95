"""Which device and number format a run uses. Knows nothing of networks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric

from waferlens.training.options import TrainingOptions

Precision = Literal["32-true", "bf16-mixed"]
_CPUINFO = Path("/proc/cpuinfo")


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
    """bf16 where the processor gains by it, else float32.

    Weights, losses and the optimiser stay in float32 either way. The choice depends on the processor alone, not
    on a timing, so the same machine always trains the same way.
    """
    if precision == "auto":
        if torch.cuda.is_available():
            native = torch.cuda.is_bf16_supported()
        else:
            native = _CPUINFO.exists() and multiplies_bf16(_CPUINFO.read_text(encoding="ascii", errors="replace"))
        return "bf16-mixed" if native else "32-true"
    return "bf16-mixed" if precision == "bf16" else "32-true"


def multiplies_bf16(cpuinfo: str) -> bool:
    """Whether a processor gains by bf16; ``cpuinfo`` as in /proc/cpuinfo.

    Intel's has AMX for it. Without, AVX512-BF16 is there too, as on virtual machines that do not pass AMX on, and
    a step then takes 1.2 (``feature-vae``) to 1.4 times as long as in float32. AMD's AVX512-BF16 is as wide as its
    float32.
    """
    return "amx_bf16" in cpuinfo or ("avx512_bf16" in cpuinfo and "GenuineIntel" not in cpuinfo)

"""What a GPU gives: training images a second, the projection to the case study's 500,000 images x 50 epochs.

    python bench/gpu.py [--batch 256] [--seconds 60] [--out runs/bench/gpu.json]

Runs the product's own loop on CUDA. Where there is none it says so and writes that down: no figure is guessed.
Latency on the GPU is part of ``waferlens bench``, which times the PyTorch engines on it when there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from waferlens.images.augment import AugmentationOptions
from waferlens.images.cache import PackedImages
from waferlens.images.synth.fab import SyntheticFab
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.models.pixel_vae import PixelVAE, PixelVAEOptions
from waferlens.training.feed import Feed
from waferlens.training.hardware import start_fabric
from waferlens.training.loop import Progress, train
from waferlens.training.options import TrainingOptions

NUM_IMAGES, IMAGES_A_RUN = 4096, 500_000 * 50


class TimeUpError(Exception):
    """Ends the measured run."""


def measure(batch: int, seconds: float) -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {"device": None, "note": "no GPU on this machine; not measured"}
    options = TrainingOptions(batch_size=batch, min_epoch_images=100 * batch, epochs=1000)
    fabric = start_fabric(options)
    images = np.stack([image.pixels for image in SyntheticFab(seed=0).stream(NUM_IMAGES)])
    names = tuple(map(str, range(NUM_IMAGES)))
    rows = np.arange(NUM_IMAGES)
    feed = Feed(PackedImages(images, names, names), rows, Normalise(NormaliseOptions()), fabric.device)
    marks: list[float] = []

    def watch(_: Progress) -> None:
        torch.cuda.synchronize()
        marks.append(time.perf_counter())
        # The first steps choose kernels; they are left out.
        if len(marks) > 20 and marks[-1] - marks[20] > seconds:
            raise TimeUpError

    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(TimeUpError):
        network = PixelVAE(PixelVAEOptions()).to(fabric.device)
        train(
            fabric, network, feed, feed, options, AugmentationOptions(),
            seed=0, folder=Path(folder), run="gpu", watch=watch,
        )  # fmt: skip
    rate = batch * (len(marks) - 21) / (marks[-1] - marks[20])
    return {
        "device": torch.cuda.get_device_name(),
        "batch": batch,
        "images_per_second": rate,
        "projected_hours": IMAGES_A_RUN / rate / 3600,
        "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--batch", type=int, default=256)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--out", type=Path, default=Path("runs/bench/gpu.json"))
    told = arguments.parse_args()
    result = measure(told.batch, told.seconds)
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

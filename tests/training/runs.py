"""One short training run; also a script, so that a test can kill it or start it twice in parallel.

python runs.py FOLDER OUT [EPOCHS] [DEVICES] [SECONDS A STEP]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric

import tiny
from waferlens.images.augment import AugmentationOptions
from waferlens.training.feed import Feed
from waferlens.training.loop import train
from waferlens.training.run import rows_of

RUN = "r" * 64


class Interrupted(Exception):
    """What a test raises in the middle of a run."""


def cpu(devices: int = 1) -> Fabric:
    fabric = Fabric(accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto")
    fabric.launch()
    return fabric


def feeds_of(images, kind=Feed, fraction=0.4):
    split = tiny.split_of(images, fraction)
    return tuple(
        kind(images, rows_of(images, {image.name for image in part}), tiny.plain(), torch.device("cpu"))
        for part in (split.train, split.validation)
    )


def run(
    fabric, images, folder, options, *, feeds=None, seed=7, watch=lambda progress: None, network=None, name=RUN
):
    """Returns the trained network and its history."""
    network = network or tiny.network(seed)
    training, validation = feeds or feeds_of(images)
    history = train(
        fabric,
        network,
        training,
        validation,
        options,
        AugmentationOptions(),
        seed=seed,
        folder=Path(folder),
        run=name,
        watch=watch,
    )
    return network, history


def main(
    folder: str, out: str, epochs: str = "2", devices: str = "1", pause: str = "0", num_images: str = "32"
) -> None:
    torch.set_num_threads(1)
    options = tiny.training_options(epochs=int(epochs), devices=int(devices), checkpoint_steps=1)
    fabric = cpu(int(devices))

    def watch(progress):
        if fabric.is_global_zero:
            sys.stdout.write(f"step {progress.epoch} {progress.step}\n")
            sys.stdout.flush()
        time.sleep(float(pause))

    images = tiny.normals(int(num_images))
    network, history = run(
        fabric,
        images,
        folder,
        options,
        feeds=feeds_of(images, fraction=0.25 if len(images) > 9 else 0.1),
        watch=watch,
    )
    target = Path(f"{out}.{fabric.global_rank}")
    partial = target.with_suffix(target.suffix + ".tmp")
    torch.save({"weights": network.state_dict(), "validation": history[-1]["validation_reconstruction"]}, partial)
    partial.replace(target)


if __name__ == "__main__":
    main(*sys.argv[1:])

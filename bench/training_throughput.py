"""Training images a second: the product's loop against a plain one, of the same network, in turns.

    python bench/training_throughput.py [--steps 240] [--rounds 2] [--batch 32] [--out FILE]

The plain loop is what one writes first: float32, default memory format, default allocator, AdamW as it comes.
Both start from the same weights, see the same batches of the synthetic fab in the same order without
augmentation, take the same number of steps and are asked for the same held-out reconstruction loss. Enough steps
for the loss to settle: while it still falls fast, two runs of even the same loop differ by more than a percent.
Each run is a process of its own; runs alternate, so that a slow spell of the machine hits both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from waferlens.images.augment import AugmentationOptions
from waferlens.images.cache import PackedImages
from waferlens.images.synth.fab import SyntheticFab
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.models.pixel_vae import PixelVAE, PixelVAEOptions
from waferlens.training import schedule
from waferlens.training.feed import Feed
from waferlens.training.hardware import start_fabric
from waferlens.training.loop import train
from waferlens.training.memory import keep_freed_memory
from waferlens.training.objective import ElboObjective
from waferlens.training.options import TrainingOptions

NUM_TRAIN, NUM_HELD_OUT, EPOCHS = 256, 64, 6
STILL = AugmentationOptions(rotation_degrees=0, shift_pixels=0, noise_sigma=0, gain=0, offset=0)


def data() -> tuple[Feed, Feed]:
    images = np.stack([image.pixels for image in SyntheticFab(seed=0).stream(NUM_TRAIN + NUM_HELD_OUT)])
    names = tuple(str(index) for index in range(len(images)))
    packed = PackedImages(images, names, names)
    rows = np.arange(len(images))
    normalise, device = Normalise(NormaliseOptions()), torch.device("cpu")
    parts = rows[:NUM_TRAIN], rows[NUM_TRAIN:]
    return Feed(packed, parts[0], normalise, device), Feed(packed, parts[1], normalise, device)


def options(steps: int, batch: int) -> TrainingOptions:
    return TrainingOptions(
        epochs=EPOCHS, batch_size=batch, min_epoch_images=batch * steps // EPOCHS, kl_anneal_epochs=1,
        patience=EPOCHS, beta=0.1,
    )  # fmt: skip


def product(steps: int, batch: int, seed: int) -> dict[str, float]:
    keep_freed_memory()
    told = options(steps, batch)
    fabric = start_fabric(told)
    training, held_out = data()
    torch.manual_seed(seed)
    network = PixelVAE(PixelVAEOptions())
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        history = train(
            fabric, network, training, held_out, told, STILL,
            seed=seed, folder=Path(folder), run="bench", watch=lambda _: None,
        )  # fmt: skip
    return {"seconds": time.perf_counter() - started, "loss": history[-1]["validation_reconstruction"]}


def plain(steps: int, batch: int, seed: int) -> dict[str, float]:
    training, held_out = data()
    told = options(steps, batch)
    torch.manual_seed(seed)
    model = ElboObjective(PixelVAE(PixelVAEOptions()))
    optimiser = torch.optim.AdamW(model.parameters(), lr=told.learning_rate, weight_decay=told.weight_decay)
    started = time.perf_counter()
    an_epoch = schedule.steps_per_epoch(len(training), told)
    for epoch in range(told.epochs):
        model.train()
        for step, indices in enumerate(schedule.epoch_batches(len(training), epoch, seed, told)):
            now = epoch * an_epoch + step
            noise = torch.Generator().manual_seed(schedule.seed_for(seed, "step", now, 0))
            reconstruction, kl = model(training.take(indices), noise)
            loss = reconstruction + schedule.beta(now, an_epoch, told) * kl
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), told.gradient_clip)
            for group in optimiser.param_groups:
                group["lr"] = schedule.learning_rate(now, an_epoch * told.epochs, told)
            optimiser.step()
        model.eval()
        with torch.no_grad():
            losses = [model(held_out.take(part), None)[0] for part in np.array_split(np.arange(NUM_HELD_OUT), 2)]
    return {"seconds": time.perf_counter() - started, "loss": float(sum(losses) / len(losses))}


def one_run(which: str, told: argparse.Namespace, seed: int) -> dict[str, float]:
    numbers = {"--steps": told.steps, "--batch": told.batch, "--seed": seed}
    command = [sys.executable, __file__, "--run", which]
    command += [part for name, value in numbers.items() for part in (name, str(value))]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return result


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--steps", type=int, default=240)
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--run", choices=["product", "plain"])
    arguments.add_argument("--out", type=Path)
    told = arguments.parse_args()
    if told.run:
        print(json.dumps({"product": product, "plain": plain}[told.run](told.steps, told.batch, told.seed)))
        return
    results: dict[str, list[dict[str, float]]] = {"plain": [], "product": []}
    for round_ in range(told.rounds):
        for which, runs in results.items():
            run = one_run(which, told, told.seed + round_)
            runs.append({**run, "images_per_second": told.batch * told.steps / run["seconds"]})
            print(
                f"{which:8} {runs[-1]['images_per_second']:7.1f} images/s   held-out loss {runs[-1]['loss']:,.1f}",
                flush=True,
            )
    ratios = [a["seconds"] / b["seconds"] for a, b in zip(results["plain"], results["product"], strict=True)]
    losses = [b["loss"] / a["loss"] - 1 for a, b in zip(results["plain"], results["product"], strict=True)]
    summary = {
        "threads": torch.get_num_threads(),
        "steps": told.steps,
        "batch_size": told.batch,
        "ratio_median": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "loss_difference_max": max(map(abs, losses)),
        "runs": results,
    }
    print(f"ratio {summary['ratio_median']:.2f} [{min(ratios):.2f}, {max(ratios):.2f}], "
          f"loss within {summary['loss_difference_max']:.2%}")  # fmt: skip
    if told.out:
        told.out.parent.mkdir(parents=True, exist_ok=True)
        told.out.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

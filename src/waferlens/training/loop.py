"""The training loop, in the order things happen. Knows nothing of files of images or of thresholds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from waferlens.errors import NonFiniteLossError
from waferlens.images.augment import AugmentationOptions
from waferlens.models.feature_vae import FeatureVAE
from waferlens.models.pixel_vae import PixelVAE
from waferlens.training import schedule
from waferlens.training.augment import augment_batch
from waferlens.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from waferlens.training.feed import Feed
from waferlens.training.objective import ElboObjective, RememberedFeatures
from waferlens.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a watcher is told after every step; losses in nats per image."""

    epoch: int
    step: int
    steps_an_epoch: int
    epochs: int
    reconstruction: float
    kl: float
    validation: float


Watcher = Callable[[Progress], None]


def train(
    fabric: Fabric,
    network: PixelVAE | FeatureVAE,
    training: Feed,
    validation: Feed,
    options: TrainingOptions,
    augmentation: AugmentationOptions,
    *,
    seed: int,
    folder: Path,
    run: str,
    watch: Watcher,
) -> list[dict[str, float]]:
    """Train ``network`` in place, leave it with the weights of the best epoch, return the history.

    folder: where the checkpoint lives; an existing one of the same ``run`` is resumed.
    history: one entry per epoch with reconstruction, kl, total, validation_reconstruction (nats per image),
    beta, learning_rate and seconds.

    Raises NonFiniteLossError before the step when the loss is NaN or infinite.
    """
    resumed = load_checkpoint(folder, run)
    state = TrainingState()
    objective = ElboObjective(network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        [parameter for parameter in objective.parameters() if parameter.requires_grad],
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
        fused=True,
    )
    model, optimiser = fabric.setup(objective, optimiser)
    if resumed is not None:
        state, weights, optimiser_state = resumed
        network.load_state_dict(weights)
        optimiser.load_state_dict(optimiser_state)

    steps = schedule.steps_per_epoch(len(training), options)
    remembered = RememberedFeatures(network) if isinstance(network, FeatureVAE) else None
    while state.epoch < options.epochs and state.epoch - state.best_epoch <= options.patience:
        started = time.perf_counter()
        model.train()
        batches = list(schedule.epoch_batches(len(training), state.epoch, seed, options))[state.step :]
        for batch in training.batches(indices[fabric.global_rank :: fabric.world_size] for indices in batches):
            now = state.epoch * steps + state.step
            rate = schedule.learning_rate(now, steps * options.epochs, options)
            beta = schedule.beta(now, steps, options)
            draw = schedule.seed_for(seed, "step", now, fabric.global_rank)
            image = augment_batch(batch, augmentation, np.random.default_rng(draw))
            noise = torch.Generator(fabric.device).manual_seed(draw)

            reconstruction, kl = model(image, noise)
            loss = reconstruction + beta * kl
            _refuse_non_finite("training", loss.item(), state)
            optimiser.zero_grad(set_to_none=True)
            fabric.backward(loss)
            fabric.clip_gradients(model, optimiser, max_norm=options.gradient_clip)
            optimiser.param_groups[0]["lr"] = rate
            optimiser.step()

            state.step += 1
            state.sums = [state.sums[0] + reconstruction.item(), state.sums[1] + kl.item()]
            watch(_progress(state, steps, options))
            if state.step % options.checkpoint_steps == 0 and state.step < steps:
                _checkpoint(fabric, folder, state, network, optimiser, run)

        held_out = validation_loss(fabric, model, validation, options, remembered)
        _refuse_non_finite("validation", held_out, state)
        _close_epoch(state, held_out, beta, rate, time.perf_counter() - started)
        _keep_best(state, network, options)
        _checkpoint(fabric, folder, state, network, optimiser, run)
    network.load_state_dict(state.best_weights)
    network.eval()
    return state.history


def best_epoch(history: list[dict[str, float]], options: TrainingOptions) -> int:
    """The epoch whose weights are kept: the lowest validation loss among those trained with the full beta.

    While beta rises the objective itself changes: the losses of those epochs do not compete.
    """
    first = min(options.kl_anneal_epochs, options.epochs - 1, len(history) - 1)
    held_out = [row["validation_reconstruction"] for row in history]
    return min(range(first, len(history)), key=held_out.__getitem__)


@torch.no_grad()
def validation_loss(
    fabric: Fabric,
    model: nn.Module,
    images: Feed,
    options: TrainingOptions,
    remembered: RememberedFeatures | None = None,
) -> float:
    """Mean reconstruction loss of held-out normals, nats per image, z at the posterior mean.

    remembered: of these very images, of a network over features.
    """
    model.eval()
    mine = np.arange(len(images))
    if len(mine) >= fabric.world_size:
        # Else every process takes all: one that never called the model would leave the others waiting for it.
        mine = mine[fabric.global_rank :: fabric.world_size]
    total = torch.zeros(2, dtype=torch.float64, device=fabric.device)
    for start in range(0, len(mine), options.batch_size):
        batch = images.take(mine[start : start + options.batch_size])
        with fabric.autocast():
            features = None if remembered is None else remembered.of(start, batch)
        loss = model(batch, None, features)[0].double()
        total += torch.stack([loss * len(batch), total.new_tensor(len(batch))])
    everyone = fabric.all_reduce(total, reduce_op="sum")
    return float(everyone[0] / everyone[1])


def _refuse_non_finite(which: str, loss: float, state: TrainingState) -> None:
    if not math.isfinite(loss):
        raise NonFiniteLossError(
            f"the {which} loss is not finite; the weights were not stepped",
            expected="a finite number of nats per image",
            found=f"{loss} at epoch {state.epoch}, step {state.step} of it",
        )


def _close_epoch(state: TrainingState, held_out: float, beta: float, rate: float, seconds: float) -> None:
    reconstruction, kl = (total / state.step for total in state.sums)
    state.history.append(
        {
            "epoch": state.epoch,
            "reconstruction": reconstruction,
            "kl": kl,
            "total": reconstruction + beta * kl,
            "validation_reconstruction": held_out,
            "beta": beta,
            "learning_rate": rate,
            "seconds": seconds,
        }
    )
    state.epoch, state.step, state.sums = state.epoch + 1, 0, [0.0, 0.0]


def _keep_best(state: TrainingState, network: PixelVAE | FeatureVAE, options: TrainingOptions) -> None:
    """Remember the weights when the epoch that just ended is the best one so far."""
    newest = state.epoch - 1
    if best_epoch(state.history, options) == newest:
        state.best_epoch = newest
        state.best_weights = {name: value.cpu().clone() for name, value in network.state_dict().items()}


def _checkpoint(
    fabric: Fabric,
    folder: Path,
    state: TrainingState,
    network: PixelVAE | FeatureVAE,
    optimiser: torch.optim.Optimizer,
    run: str,
) -> None:
    if fabric.is_global_zero:
        save_checkpoint(folder, state, network.state_dict(), optimiser.state_dict(), run)
    fabric.barrier()


def _progress(state: TrainingState, steps: int, options: TrainingOptions) -> Progress:
    return Progress(
        epoch=state.epoch,
        step=state.step,
        steps_an_epoch=steps,
        epochs=options.epochs,
        reconstruction=state.sums[0] / state.step,
        kl=state.sums[1] / state.step,
        validation=state.history[-1]["validation_reconstruction"] if state.history else math.nan,
    )

"""What varies with the step: learning rate, beta, the order of images, the seeds. Pure functions of the step.

Nothing here has state, so a run that is resumed at step n does what an uninterrupted run does at step n.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from waferlens.training.options import TrainingOptions

Indices = npt.NDArray[np.int64]


def steps_per_epoch(num_images: int, options: TrainingOptions) -> int:
    """Whole batches in an epoch of at least ``min_epoch_images`` draws."""
    draws = max(num_images, options.min_epoch_images)
    return max(1, draws // options.batch_size)


def learning_rate(step: int, num_steps: int, options: TrainingOptions) -> float:
    """Cosine from learning_rate at step 0 to final_learning_rate at the last step (Loshchilov & Hutter 2017)."""
    progress = step / max(1, num_steps - 1)
    share = 0.5 * (1 + math.cos(math.pi * progress))
    return options.final_learning_rate + share * (options.learning_rate - options.final_learning_rate)


def beta(step: int, steps_an_epoch: int, options: TrainingOptions) -> float:
    """Linear from 0 to options.beta over the first ``kl_anneal_epochs`` epochs, then constant."""
    ramp = options.kl_anneal_epochs * steps_an_epoch
    return options.beta * (1.0 if ramp == 0 else min(1.0, step / ramp))


def epoch_batches(num_images: int, epoch: int, seed: int, options: TrainingOptions) -> Iterator[Indices]:
    """The batches of one epoch: every image equally often, give or take one, in a new order each pass."""
    rng = np.random.default_rng(seed_for(seed, "order", epoch))
    num_steps = steps_per_epoch(num_images, options)
    passes = math.ceil(num_steps * options.batch_size / num_images)
    order = np.concatenate([rng.permutation(num_images) for _ in range(passes)]).astype(np.int64)
    for step in range(num_steps):
        yield order[step * options.batch_size : (step + 1) * options.batch_size]


def spread_evenly(num_images: int, at_most: int) -> Indices:
    """Up to ``at_most`` indices of ``num_images`` images, the first and the last among them, evenly apart."""
    return np.unique(np.linspace(0, num_images - 1, min(at_most, num_images)).round().astype(np.int64))


def seed_for(seed: int, *what: str | int) -> int:
    """A 63-bit seed for one named use, independent of every other use of the same run seed."""
    text = "/".join(map(str, (seed, *what)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1

"""Teaches the discriminator what damage looks like: training images with random damage, never a real defect.

Training images, varied as for the network, are damaged at random, with the camera's noise over all of it. The
finished network looks at each once, and the discriminator learns from what it sees which cells of 8x8 pixels are
damaged. It is shown a window of 128x128 pixels at a time: it judges by what is near, and a quarter of an image
takes a quarter of the time. The network learns nothing more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from waferlens.images.augment import AugmentationOptions
from waferlens.images.damage import damage
from waferlens.models.detector import Answer, Detector
from waferlens.models.discriminator import Discriminator
from waferlens.models.usual_error import CELLS
from waferlens.records import IMAGE_SIZE, FloatArray
from waferlens.training.augment import augment_batch
from waferlens.training.feed import Feed
from waferlens.training.schedule import seed_for, spread_evenly

_BATCH = 16
# Of what is looked at in one step: 128x128 pixels, the same place in every image of a batch.
_WINDOW_CELLS = 16
_MOST_OTHERS = 64
# A cell counts as damaged from this share of its pixels on; below it, and above none, it is not judged.
_LEAST_SHARE = 0.08
_WEIGHT_DECAY = 1e-3


class DamageOptions(BaseModel, frozen=True, extra="forbid"):
    """How the discriminator learns."""

    num_images: int = Field(
        2048, ge=16, le=20_000, description="damaged images that are made and kept in memory, up to 0.9 MB each"
    )
    most_patches: int = Field(5, ge=1, le=32, description="patches of damage that one image has at most")
    undamaged_share: float = Field(0.15, ge=0, lt=1, description="share of them that stay as they are")
    epochs: int = Field(16, ge=1, le=100, description="times that a window of each is looked at")
    learning_rate: float = Field(
        2e-3, gt=0, description="largest, after a short rise; falls to nothing by a cosine"
    )


class _Window(NamedTuple):
    """The same place of several images, float32.

    image, expected: (B, 1, 128, 128). evidence: (B, F, 16, 16). share: (B, 1, 16, 16), damaged of a cell's pixels.
    """

    image: Tensor
    expected: Tensor
    evidence: Tensor | None
    share: Tensor


class _Seen:
    """What the network made of damaged images, in half precision: 0.3 MB an image, 0.9 MB over features.

    In one piece from the start: joining batches afterwards would take the memory twice.
    """

    def __init__(self, num_images: int, num_evidence: int, device: torch.device) -> None:
        def room(channels: int, side: int) -> Tensor:
            # As the discriminator's convolutions read it: a window is taken in a third of the time.
            shape = (num_images, channels, side, side)
            return torch.empty(shape, dtype=torch.float16, device=device, memory_format=torch.channels_last)

        self._images, self._expected = room(1, IMAGE_SIZE), room(1, IMAGE_SIZE)
        self._evidence = room(num_evidence, CELLS) if num_evidence else None
        self._shares = room(1, CELLS)
        self._filled = 0

    def add(self, image: Tensor, answer: Answer, damaged: Tensor) -> None:
        """A batch. damaged: (B, 1, 256, 256), 1 where an image is."""
        part = slice(self._filled, self._filled + len(image))
        self._images[part], self._expected[part] = image, answer.reconstruction
        if self._evidence is not None and answer.evidence is not None:
            self._evidence[part] = answer.evidence
        self._shares[part] = F.avg_pool2d(damaged, IMAGE_SIZE // CELLS)
        self._filled = part.stop

    def take(self, rows: npt.NDArray[np.int64], top: int, left: int) -> _Window:
        """A window of these images whose corner is a cell, of 32x32."""
        at = torch.from_numpy(rows).to(self._images.device)

        def part(whole: Tensor) -> Tensor:
            pixels = whole.shape[-1] // CELLS
            y, x, side = top * pixels, left * pixels, _WINDOW_CELLS * pixels
            return whole[:, :, y : y + side, x : x + side][at].float()

        evidence = None if self._evidence is None else part(self._evidence)
        return _Window(part(self._images), part(self._expected), evidence, part(self._shares))


def learn_discriminator(
    detector: Detector, training: Feed, augmentation: AugmentationOptions, options: DamageOptions, seed: int
) -> float:
    """Fit ``detector.discriminator``, in place. Returns the mean cross entropy a cell over the last epoch, nats.

    Raises ValueError for a detector without one.
    """
    judge = detector.discriminator
    if judge is None:
        raise ValueError("this detector has no discriminator")
    detector.eval()
    seen = _Seen(options.num_images, judge.num_features, detector.error_map.roi.device)
    _look(detector, seen, training, augmentation, options, seed)
    order = np.random.default_rng(seed_for(seed, "order"))
    steps = math.ceil(options.num_images / _BATCH)
    optimiser = torch.optim.AdamW(
        judge.parameters(), options.learning_rate, weight_decay=_WEIGHT_DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.learning_rate, total_steps=options.epochs * steps + 1
    )
    judge.train()
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a step takes 0.8 times as long
    loss = math.nan
    for _ in range(options.epochs):
        losses = []
        for rows in np.array_split(order.permutation(options.num_images), steps):
            corner = order.integers(0, CELLS - _WINDOW_CELLS + 1, 2)
            losses.append(_step(judge, seen.take(rows, int(corner[0]), int(corner[1])), optimiser))
            schedule.step()
        loss = float(torch.stack(losses).mean())
    judge.eval()
    judge.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return loss


def _step(judge: Discriminator, window: _Window, optimiser: torch.optim.Optimizer) -> Tensor:
    damaged = window.share >= _LEAST_SHARE
    judged = (damaged | (window.share == 0)).float()
    found = judge(window.image, window.expected, window.evidence)
    each = F.binary_cross_entropy_with_logits(found, damaged.float(), reduction="none")
    loss = (each * judged).sum() / judged.sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.detach()


@torch.no_grad()
def _look(
    detector: Detector,
    seen: _Seen,
    training: Feed,
    augmentation: AugmentationOptions,
    options: DamageOptions,
    seed: int,
) -> None:
    """Fill ``seen``."""
    for image, damaged in _damaged(training, augmentation, options, seed):
        seen.add(image, detector.answer(image, alone=True), damaged)


def _damaged(
    training: Feed, augmentation: AugmentationOptions, options: DamageOptions, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of damaged images and what of them is damaged, both (B, 1, 256, 256) float32.

    Noise lies over damage as over all else. Were it drawn first, damage would be what has less of it, and a clean
    image would be suspected all over. Every image has a generator of its own: the same damage whatever the number
    of threads.
    """
    rng = np.random.default_rng(seed_for(seed, "damage"))
    before_damage = augmentation.model_copy(update={"noise_sigma": 0.0})
    after_damage = AugmentationOptions(
        rotation_degrees=0.0, shift_pixels=0.0, gain=0.0, offset=0.0, noise_sigma=augmentation.noise_sigma
    )
    others = training.take(spread_evenly(len(training), _MOST_OTHERS))[:, 0].cpu().numpy()

    def spoil(job: tuple[FloatArray, int]) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        image, number = job
        own = np.random.default_rng(number)
        if own.random() < options.undamaged_share:
            return image, np.zeros(image.shape, dtype=np.bool_)
        return damage(image, others, own, options.most_patches)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for start in range(0, options.num_images, _BATCH):
            rows = rng.integers(0, len(training), min(_BATCH, options.num_images - start))
            image = augment_batch(training.take(rows), before_damage, rng)
            numbers = rng.integers(2**62, size=len(rows))
            found = list(pool.map(spoil, zip(image[:, 0].cpu().numpy(), numbers.tolist(), strict=True)))
            images, masks = (np.stack(part)[:, None] for part in zip(*found, strict=True))
            yield (
                augment_batch(torch.from_numpy(images).to(image.device), after_damage, rng),
                torch.from_numpy(masks.astype(np.float32)).to(image.device),
            )

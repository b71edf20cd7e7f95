"""How a choice is made without a test set: held-out normal images against the same images with planted defects.

    python bench/choose.py BUNDLE DATA [--sigma 4 --sigma 6 ...] [--boxes 1 --boxes 6 ...]

The bundle's held-out normals are split in two; each half is calibrated on the other. Every image is scored as it
is, and with two planted defects of each of ten kinds: local marks (blotch, scratch), parts that are wrong (pasted,
pasted large, moved, erased, cut, bent) and an object that is out of place (shifted, rotated). PCA reconstructions
of the bundle's own training images go through the same. Prints the image AUROC of each kind, and their mean, for
each smoothing width and number of boxes. Nothing of a test set is read.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from waferlens.baselines.pca import PcaOptions, fit_pca
from waferlens.bundle.contents import load_config, read_json
from waferlens.bundle.model import load_detector
from waferlens.images.cache import pack_in_memory
from waferlens.images.layouts import read_dataset
from waferlens.images.splits import Split
from waferlens.models.smoothing import gaussian_matrix, smooth
from waferlens.training.feed import Feed
from waferlens.training.run import rows_of

COPIES = 2
ROWS, COLUMNS = np.mgrid[:256, :256].astype(float)
Plant = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Window = tuple[np.ndarray, tuple[int, ...]]


def window(rng: np.random.Generator, least: int, most: int, edge: float = 0.5) -> Window:
    """A soft-edged rectangle of random size and place, as weights and as (top, left, height, width)."""
    height, width = rng.integers(least, most, 2)
    top, left = rng.integers(8, 248 - height), rng.integers(8, 248 - width)
    weights = np.zeros((256, 256))
    weights[top : top + height, left : left + width] = 1.0
    return ndimage.gaussian_filter(weights, edge), (top, left, height, width)


def blotch(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    (top, left), radius = rng.integers(12, 244, 2), rng.uniform(3, 12)
    spot = np.exp(-((ROWS - top) ** 2 + (COLUMNS - left) ** 2) / (2 * radius**2))
    return image + rng.choice([-1, 1]) * rng.uniform(0.1, 0.35) * spot


def scratch(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    (top, left), angle = rng.integers(30, 226, 2), rng.uniform(0, math.pi)
    along = (COLUMNS - left) * math.cos(angle) + (ROWS - top) * math.sin(angle)
    across = -(COLUMNS - left) * math.sin(angle) + (ROWS - top) * math.cos(angle)
    line = np.exp(-(across**2) / (2 * rng.uniform(0.7, 2) ** 2)) * (np.abs(along) < rng.uniform(10, 35))
    return image + rng.choice([-1, 1]) * rng.uniform(0.15, 0.4) * line


def pasted(image: np.ndarray, rng: np.random.Generator, least: int = 10, most: int = 44) -> np.ndarray:
    weights, (top, left, height, width) = window(rng, least, most)
    y, x = rng.integers(0, 256 - height), rng.integers(0, 256 - width)
    return image * (1 - weights) + np.roll(image, (top - y, left - x), (0, 1)) * weights


def pasted_large(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return pasted(image, rng, 40, 90)


def moved(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    weights, _ = window(rng, 12, 60, 1.5)
    return image * (1 - weights) + np.roll(image, rng.integers(-8, 9, 2), (0, 1)) * weights


def erased(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    weights, (top, left, height, width) = window(rng, 10, 44)
    return image * (1 - weights) + np.median(image[top : top + height, left : left + width]) * weights


def cut(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A strip taken away, what lies beside it in its place."""
    weights, (_, _, height, width) = window(rng, 6, 24, 0.7)
    step = (0, rng.choice([-1, 1]) * width) if rng.random() < 0.5 else (rng.choice([-1, 1]) * height, 0)
    return image * (1 - weights) + np.roll(image, step, (0, 1)) * weights


def bent(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    (top, left), reach, angle = rng.integers(40, 216, 2), rng.uniform(12, 35), rng.uniform(0, 2 * math.pi)
    bump = np.exp(-((ROWS - top) ** 2 + (COLUMNS - left) ** 2) / (2 * reach**2)) * rng.uniform(3, 10)
    where = [ROWS + bump * math.sin(angle), COLUMNS + bump * math.cos(angle)]
    return ndimage.map_coordinates(image, where, order=1, mode="reflect")


def shifted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    angle, distance = rng.uniform(0, 2 * math.pi), rng.uniform(4, 14)
    step = [distance * math.sin(angle), distance * math.cos(angle)]
    return ndimage.shift(image, step, order=1, mode="reflect")


def rotated(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    degrees = rng.choice([-1, 1]) * rng.uniform(2.5, 10)
    return ndimage.rotate(image, degrees, reshape=False, order=1, mode="reflect")


KINDS: tuple[Plant, ...] = (blotch, scratch, pasted, pasted_large, moved, erased, cut, bent, shifted, rotated)


def peaks(errors: torch.Tensor, calibrated_on: torch.Tensor, boxes: int) -> np.ndarray:
    """Peaks of smoothed errors (n, 1, 256, 256) under the statistics of others, as the detector computes them."""
    mean, variance = calibrated_on.mean(0, keepdim=True), calibrated_on.var(0, keepdim=True)
    pooled, n = variance.mean(), len(calibrated_on)
    shrunk = (((n - 1) * variance + 2 * pooled) / (n + 1)).clamp(min=0.05 * pooled)
    heat = F.avg_pool2d((errors - mean) / shrunk.sqrt(), 4).flatten(1)
    return heat.topk(boxes, dim=1).values.mean(1).numpy()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("bundle", type=Path)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--sigma", type=float, action="append")
    arguments.add_argument("--boxes", type=int, action="append")
    arguments.add_argument("--seed", type=int, default=0)
    told = arguments.parse_args()
    detector, config = load_detector(told.bundle), load_config(told.bundle)
    split = Split.from_dict(read_json(told.bundle / "split.json"))
    packed = pack_in_memory(read_dataset(told.data).train, config.images)
    training, held_out = (
        Feed(packed, rows_of(packed, {i.name for i in part}), detector.normalise, torch.device("cpu"))
        for part in (split.train, split.validation)
    )
    rng = np.random.default_rng(told.seed)
    normal = held_out.take(np.arange(len(held_out)))
    damaged = [
        np.stack([plant(image[0].double().numpy(), rng) for image in normal for _ in range(COPIES)])
        for plant in KINDS
    ]
    planted = [torch.from_numpy(images.clip(0, 1).astype(np.float32))[:, None] for images in damaged]
    order = rng.permutation(len(normal))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    methods = {config.name: detector.network}
    methods |= {f"pca-k{k}": network for k, network in fit_pca(training, PcaOptions()).reconstructors.items()}
    with torch.inference_mode():
        for name, network in methods.items():
            good, *bad = (boxed_errors(network, images) for images in (normal, *planted))
            for sigma in told.sigma or (4, 5, 6, 8):
                blur = gaussian_matrix(sigma, 256, box=2)
                for boxes in told.boxes or (1, 6, 16):
                    found = aurocs(good, bad, halves, blur, boxes)
                    named = zip(KINDS, found, strict=True)
                    each = "  ".join(f"{kind.__name__} {value:.3f}" for kind, value in named)
                    setting = f"{name:10} sigma {sigma:<4g} boxes {boxes:<3d}"
                    print(f"{setting} mean {np.mean(found):.4f}  {each}", flush=True)


def boxed_errors(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Squared 2x2 box means of what a reconstruction leaves, (n, 1, 128, 128)."""
    return torch.cat([F.avg_pool2d(part - network(part)[0], 2).square() for part in images.split(16)])


def aurocs(
    good: torch.Tensor, bad: list[torch.Tensor], halves: tuple[np.ndarray, ...], blur: torch.Tensor, boxes: int
) -> list[float]:
    """Image AUROC of each kind of planted defect; each half of the normals is calibrated on the other."""
    low: list[np.ndarray] = []
    high: list[list[np.ndarray]] = [[] for _ in bad]
    for mine, others in (halves, halves[::-1]):
        reference = smooth(good[others], blur)
        low.append(peaks(smooth(good[mine], blur), reference, boxes))
        rows = np.concatenate([COPIES * mine + copy for copy in range(COPIES)])
        for errors, scores in zip(bad, high, strict=True):
            scores.append(peaks(smooth(errors[rows], blur), reference, boxes))
    normal = np.concatenate(low)
    return [
        float(roc_auc_score(np.r_[np.zeros(len(normal)), np.ones(sum(map(len, kind)))], np.r_[normal, *kind]))
        for kind in high
    ]


if __name__ == "__main__":
    main()

"""How a choice is made without a test set: held-out normal images against the same images with planted defects.

    python bench/choose.py BUNDLE DATA [--sigma 4 --sigma 5 ...] [--boxes 1 --boxes 6 ...]

The bundle's held-out normals are split in two; each half is calibrated on the other. Every image is scored as it
is, and with six planted defects: a blotch, a patch from elsewhere, a scratch, a moved part, an erased part. PCA
reconstructions of the bundle's own training images go through the same. Prints the image AUROC of each smoothing
width and number of boxes. Nothing of a test set is read.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
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

PLANTED = 6


def plant(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy of a normal image, (256, 256) in [0, 1], with one defect of random kind, place, size and strength."""
    damaged = image.copy()
    height, width = rng.integers(10, 44, 2)
    top, left = rng.integers(16, 240 - height), rng.integers(16, 240 - width)
    window = np.s_[top : top + height, left : left + width]
    rows, columns = np.mgrid[:256, :256]
    sign = rng.choice([-1.0, 1.0])
    match rng.integers(5):
        case 0:
            radius = rng.uniform(3, 12)
            blotch = np.exp(-((rows - top) ** 2 + (columns - left) ** 2) / (2 * radius**2))
            damaged += sign * rng.uniform(0.1, 0.35) * blotch
        case 1:
            y, x = rng.integers(0, 256 - height), rng.integers(0, 256 - width)
            damaged[window] = image[y : y + height, x : x + width]
        case 2:
            angle, length, thickness = rng.uniform(0, math.pi), rng.uniform(20, 70), rng.uniform(0.7, 2)
            along = (columns - left) * math.cos(angle) + (rows - top) * math.sin(angle)
            across = -(columns - left) * math.sin(angle) + (rows - top) * math.cos(angle)
            line = np.exp(-(across**2) / (2 * thickness**2)) * (np.abs(along) < length / 2)
            damaged += sign * rng.uniform(0.15, 0.4) * line
        case 3:
            damaged[window] = np.roll(image, rng.integers(-8, 9, 2), (0, 1))[window]
        case _:
            damaged[window] = np.median(image[window])
    return np.clip(damaged, 0, 1)


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
    planted = np.stack([[plant(image[0].numpy(), rng) for _ in range(PLANTED)] for image in normal])
    damaged = torch.from_numpy(planted.astype(np.float32)).flatten(0, 1)[:, None]
    order = rng.permutation(len(normal))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    methods = {config.name: detector.network}
    methods |= {f"pca-k{k}": network for k, network in fit_pca(training, PcaOptions()).reconstructors.items()}
    with torch.inference_mode():
        for name, network in methods.items():
            squared = [
                torch.cat([(part - network(part)[0]).square() for part in images.split(16)])
                for images in (normal, damaged)
            ]
            for sigma in told.sigma or (3, 4, 5, 6, 8):
                blur = gaussian_matrix(sigma, 256)
                good, bad = (torch.cat([smooth(part, blur) for part in e.split(32)]) for e in squared)
                bad = bad.view(len(normal), PLANTED, 1, 256, 256)
                for boxes in told.boxes or (1, 6, 16, 25):
                    scores = [
                        (
                            peaks(good[mine], good[others], boxes),
                            peaks(bad[mine].flatten(0, 1), good[others], boxes),
                        )
                        for mine, others in (halves, halves[::-1])
                    ]
                    low, high = (np.concatenate(part) for part in zip(*scores, strict=True))
                    labels = np.r_[np.zeros(len(low)), np.ones(len(high))]
                    auroc = roc_auc_score(labels, np.r_[low, high])
                    print(f"{name:24} sigma {sigma:<4g} boxes {boxes:<3d} image AUROC {auroc:.4f}", flush=True)


if __name__ == "__main__":
    main()

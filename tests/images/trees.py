"""Small data sets on disk for the tests of this chapter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hostile import encode

SIDE = 256


def write_image(path: Path, seed: int, dtype: str = "uint8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(top // 4, top, (SIDE, SIDE)).astype(dtype)
    path.write_bytes(encode(pixels, "PNG", compress_level=1))
    return path


def write_mask(path: Path, side: int = SIDE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((side, side), np.uint8)
    mask[10:20, 10:20] = 255
    path.write_bytes(encode(mask, "PNG"))
    return path


def write_mvtec(root: Path, num_train: int = 4) -> Path:
    for number in range(num_train):
        write_image(root / "train" / "good" / f"{number:03d}.png", number)
    for number in range(2):
        write_image(root / "test" / "good" / f"{number:03d}.png", 100 + number)
        write_image(root / "test" / "scratch" / f"{number:03d}.png", 200 + number)
        write_mask(root / "ground_truth" / "scratch" / f"{number:03d}_mask.png")
    return root

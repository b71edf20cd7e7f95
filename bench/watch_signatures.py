"""Signatures of simulated wafers and lots: how many are named right, as a confusion matrix.

    python bench/watch_signatures.py --out runs/bench/watch_signatures.json [--wafers 200] [--seed 2]

Wafers have the synthetic fab's 228 points. Everywhere a point is defective with the background rate, drawn from
0.5 to 3 % for each wafer; in the signature's region with a rate drawn from 50 to 95 %, on a region of random
place and size whose border is soft. Lots have 10 wafers that show the same signature at half the strength, and
repeaters. Options were set on wafers of seed 1; what is reported has seed 2.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from waferlens.images.synth.wafer import WaferOptions, lay_out
from waferlens.monitoring.signature_regions import Signature, WaferMap
from waferlens.monitoring.signatures import SignatureFinder

ON_A_WAFER = (
    Signature.EDGE_RING,
    Signature.CENTRE,
    Signature.SCRATCH,
    Signature.QUADRANT,
    Signature.REPEATER,
    Signature.RANDOM,
)
WAFERS_OF_A_LOT = 10


def synthetic_map() -> WaferMap:
    points = lay_out(WaferOptions(), 4).points
    return WaferMap(x=np.array([p.x_mm for p in points]), y=np.array([p.y_mm for p in points]),
                    site=np.array([p.site for p in points]), radius_mm=150.0)  # fmt: skip


def region_of(signature: Signature, wafer: WaferMap, rng: np.random.Generator) -> np.ndarray:
    """(P,) share of the signature's strength that each point sees."""
    x, y = wafer.x, wafer.y
    radius, angle = np.hypot(x, y), np.degrees(np.arctan2(y, x)) % 360

    def soft(distance, width):
        return 1 / (1 + np.exp(-distance / width))

    if signature is Signature.EDGE_RING:
        return soft(radius - rng.uniform(95, 118), 3)
    if signature is Signature.CENTRE:
        return soft(rng.uniform(38, 65) - np.hypot(x - rng.normal(0, 5), y - rng.normal(0, 5)), 3)
    if signature is Signature.QUADRANT:
        start, width = rng.uniform(0, 360), rng.uniform(75, 105)
        return (((angle - start) % 360 < width) & (radius > 15)).astype(float)
    if signature is Signature.SCRATCH:
        turn, offset, bend = rng.uniform(0, np.pi), rng.uniform(-80, 80), rng.normal(0, 2e-4)
        along, across = x * np.cos(turn) + y * np.sin(turn), x * np.sin(turn) - y * np.cos(turn)
        length, middle = rng.uniform(180, 280), rng.uniform(-20, 20)
        return ((np.abs(across - offset - bend * along**2) < 6) & (np.abs(along - middle) < length / 2)).astype(
            float
        )
    if signature is Signature.REPEATER:
        return (wafer.site == rng.integers(wafer.site.max() + 1)).astype(float)
    return np.zeros(len(x))


def draw(signature: Signature, wafer: WaferMap, rng: np.random.Generator, num_wafers: int) -> np.ndarray:
    """(num_wafers, P) defective points."""
    share, background = region_of(signature, wafer, rng), rng.uniform(0.005, 0.03)
    strength = rng.uniform(0.5, 0.95) * (0.5 if num_wafers > 1 else 1.0)
    if signature is Signature.REPEATER and num_wafers > 1:
        share = np.zeros(len(wafer.x))
        share[rng.choice(len(share), rng.integers(1, 4), replace=False)] = 1.0
        strength = rng.uniform(0.5, 0.9)
    if signature is Signature.RANDOM:
        background = rng.uniform(0.03, 0.10)
    chance = background + (1 - background) * strength * share
    return rng.random((num_wafers, len(share))) < chance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/watch_signatures.json"))
    parser.add_argument("--wafers", type=int, default=200, help="of each signature")
    parser.add_argument("--seed", type=int, default=2)
    told = parser.parse_args()
    wafer, rng, results = synthetic_map(), np.random.default_rng(told.seed), {}
    finder = SignatureFinder(wafer)
    names = [str(s) for s in Signature]
    for title, num in (("one wafer", 1), (f"a lot of {WAFERS_OF_A_LOT}", WAFERS_OF_A_LOT)):
        matrix = np.zeros((len(ON_A_WAFER), len(names)), dtype=int)
        for row, signature in enumerate(ON_A_WAFER):
            for _ in range(told.wafers if num == 1 else told.wafers // 4):
                defective = draw(signature, wafer, rng, num)
                shown = finder.of_wafer(defective[0]) if num == 1 else finder.of_lot(defective)
                matrix[row, names.index(str(shown.signature))] += 1
        right = sum(matrix[row, names.index(str(s))] for row, s in enumerate(ON_A_WAFER))
        results[title] = {"names": names, "rows": [str(s) for s in ON_A_WAFER], "matrix": matrix.tolist(),
                          "right": int(right), "of": int(matrix.sum())}  # fmt: skip
        print(f"{title}: {right} of {matrix.sum()} right ({right / matrix.sum():.1%})")
        print(" " * 14, " ".join(f"{n[:10]:>10s}" for n in names))
        for row, signature in enumerate(ON_A_WAFER):
            print(f"{signature:14s}", " ".join(f"{n:10d}" for n in matrix[row]), flush=True)
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

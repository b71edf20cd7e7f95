"""A bank of scored images of the synthetic fab, from which days, weeks and quarters of a line are then drawn.

    python bench/watch_bank.py --bundle BUNDLE --out runs/bench/watch_bank.npz [--wafers 180] [--points 57]

Normal images wafer by wafer (each at a random part of its points), those of one station once more with 5 % more
light, and defects of every kind, each on a wafer of its own. What is kept of an image is what the record keeps:
score, reconstruction error, latent, brightness, and for all that do not pass the appearance. The images are
rendered and scored once; the simulations of drift and of novel defects resample them by wafer.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from waferlens.bundle.contents import load_thresholds
from waferlens.engines.parity import default_engine
from waferlens.engines.runtimes import open_engine
from waferlens.images.synth.defects import KNOWN_KINDS, NOVEL_KINDS
from waferlens.images.synth.fab import SyntheticFab
from waferlens.monitoring.appearance import APPEARANCE_SIZE, describe

SEED, GAIN, DIM_STATION = 11, 1.05, 1
FIRST_DEFECT_WAFER = 10_000


class Bank:
    """Collects what is kept of each image."""

    def __init__(self, bundle: Path, raw: Path | None) -> None:
        self.engine = open_engine(default_engine(bundle), bundle, threads=1)
        self.review = load_thresholds(bundle).review
        self.rows: list[tuple] = []
        self.raw, self.kept = raw, []

    def add(self, pixels: np.ndarray, meta, kind: str, wafer: int, gain: float) -> None:
        out = self.engine.infer(pixels[None])
        score = float(out.score[0])
        looks = np.full(APPEARANCE_SIZE, np.nan, np.float32)
        if score >= self.review:
            looks = describe(pixels, out.heatmap[0, 0])
            if self.raw is not None:
                heat = out.heatmap[0, 0].astype(np.float16)
                shown = np.rint(255 * out.reconstruction[0, 0]).astype(np.uint8)
                self.kept.append((len(self.rows), pixels, shown, heat))
        facts = (kind, wafer, meta.inspection_point, meta.site, meta.station, gain)
        self.rows.append(
            (*facts, score, float(out.reconstruction_error[0]), pixels.mean() / 255, out.latent[0], looks)
        )

    def save(self, path: Path) -> None:
        names = (
            "kind",
            "wafer",
            "point",
            "site",
            "station",
            "gain",
            "score",
            "error",
            "brightness",
            "latent",
            "looks",
        )
        columns = {name: np.array([row[i] for row in self.rows]) for i, name in enumerate(names)}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, review=self.review, **columns)
        if self.raw is not None:
            index, pixels, shown, heat = (np.array(part) for part in zip(*self.kept, strict=True))
            np.savez(self.raw, index=index, pixels=pixels, shown=shown, heat=heat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/watch_bank.npz"))
    parser.add_argument("--wafers", type=int, default=180)
    parser.add_argument("--points", type=int, default=57)
    parser.add_argument("--known", type=int, default=120, help="images of each known kind")
    parser.add_argument("--novel", type=int, default=200, help="images of each novel kind")
    parser.add_argument("--raw", type=Path, help="also keep pictures of what does not pass, to look at")
    told = parser.parse_args()
    fab, bank, started = SyntheticFab(seed=SEED), Bank(told.bundle, told.raw), time.perf_counter()
    rng = np.random.default_rng(SEED)
    for number, kind in enumerate((*KNOWN_KINDS, *NOVEL_KINDS)):
        for index in range(told.novel if kind in NOVEL_KINDS else told.known):
            wafer = FIRST_DEFECT_WAFER + 1000 * number + index
            image = fab.render_kind(wafer, int(rng.integers(fab.layout.num_points)), kind)
            bank.add(image.pixels, image.meta, str(kind), wafer, 1.0)
        print(f"{kind}: {len(bank.rows)} images, {time.perf_counter() - started:.0f} s", flush=True)
    for wafer in range(told.wafers):
        for point in np.sort(rng.choice(fab.layout.num_points, told.points, replace=False)):
            image = fab.render(wafer, int(point))
            bank.add(image.pixels, image.meta, "", wafer, 1.0)
            if image.meta.station == DIM_STATION:
                brighter = np.clip(np.rint(image.pixels * GAIN), 0, 255).astype(np.uint8)
                bank.add(brighter, image.meta, "", wafer, GAIN)
        if wafer % 20 == 19:
            print(f"wafer {wafer + 1}: {len(bank.rows)} images, {time.perf_counter() - started:.0f} s", flush=True)
            bank.save(told.out)
    bank.save(told.out)


if __name__ == "__main__":
    main()

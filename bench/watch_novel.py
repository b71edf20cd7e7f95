"""A new kind of defect in a stream of the line: how soon it is told, how many escaped until then, how often for
nothing.

    python bench/watch_novel.py --bank runs/bench/watch_bank.npz --out runs/bench/watch_novel.json

12,000 wafers a month, 200 points each. Each wafer of the stream is a bank wafer: its images that do not pass
come as often as they do there, each with a little noise on its appearance. One image in a thousand has a known
defect. From a moment on one in N has a new one; those that the detector passes are escapes. The history is a month of the same
stream. Options and the
length of the history were chosen on streams of seeds 1 and 2, the budget after a look at 3 and 4; the default seed, 5, was
not looked at before.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from waferlens.images.synth.defects import KNOWN_KINDS, NOVEL_KINDS
from waferlens.monitoring.novel import Doubtful, NovelOptions, NovelWatch

WAFERS_PER_HOUR, POINTS = 12_000 / (30 * 24), 200
KNOWN_RATE = 1e-3
HOUR_MS = 3_600_000


@dataclass
class Stream:
    """Draws doubtful images. looks and kind of the bank's images that do not pass; kept: share that does not, by kind."""

    looks: np.ndarray
    kind: np.ndarray
    wafer: np.ndarray
    detected: dict[str, float]
    per_wafer: dict[int, float]
    noise: np.ndarray

    @classmethod
    def from_bank(cls, path: Path) -> Stream:
        with np.load(path) as kept:
            once = kept["gain"] == 1.0
            bad = once & (kept["score"] >= float(kept["review"]))
            kinds, wafers = kept["kind"], kept["wafer"]
            detected = {str(k): float(bad[kinds == k].mean()) for k in np.unique(kinds) if k}
            normal = once & (kinds == "")
            per_wafer = {int(w): float(bad[normal & (wafers == w)].mean()) for w in np.unique(wafers[normal])}
            looks = kept["looks"][bad]
            return cls(looks, kinds[bad], wafers[bad], detected, per_wafer, 0.1 * looks.std(axis=0))

    def hour(
        self, number: int, rng: np.random.Generator, novel: str = "", rate: float = 0.0
    ) -> tuple[Doubtful, int]:
        """One hour of doubtful images, and how many new defects escaped in it."""
        rows, names, num_escaped = [], [], 0
        for wafer in range(int(rng.poisson(WAFERS_PER_HOUR))):
            name = f"{number}-{wafer}"
            own = int(rng.choice(list(self.per_wafer)))
            mine = np.flatnonzero((self.wafer == own) & (self.kind == ""))
            if len(mine):
                rows += list(rng.choice(mine, min(len(mine) * 4, rng.binomial(POINTS, self.per_wafer[own]))))
            for kind, chance in [(str(k), KNOWN_RATE / len(KNOWN_KINDS)) for k in KNOWN_KINDS] + [(novel, rate)]:
                present = int(rng.binomial(POINTS, chance)) if kind else 0
                seen = int(rng.binomial(present, self.detected[kind])) if kind else 0
                num_escaped += present - seen if kind == novel else 0
                if seen:
                    rows += list(rng.choice(np.flatnonzero(self.kind == kind), seen))
            names += [name] * (len(rows) - len(names))
        chosen = np.array(rows, dtype=int)
        order = np.arange(len(chosen))
        looks = self.looks[chosen] + rng.standard_normal((len(chosen), self.looks.shape[1])) * self.noise
        ids = np.array(
            [f"{number}/{i}/{self.kind[row] or 'overkill'}" for i, row in enumerate(chosen)], dtype=np.str_
        )
        at = number * HOUR_MS + (order + 1) * (HOUR_MS // max(1, len(order) + 1))
        return Doubtful(ids=ids, wafers=np.array(names, dtype=np.str_), at_ms=at.astype(np.int64),
                        looks=looks.astype(np.float32)), num_escaped  # fmt: skip


def history_of(stream: Stream, rng: np.random.Generator, most: int = 20_000) -> Doubtful:
    hours = [stream.hour(-1 - h, rng)[0] for h in range(24 * 5)]
    joined = Doubtful(
        **{n: np.concatenate([getattr(h, n) for h in hours]) for n in ("ids", "wafers", "at_ms", "looks")}
    )
    return joined.take(slice(0, most))


def known_of(stream: Stream) -> dict[str, np.ndarray]:
    return {str(k): stream.looks[stream.kind == str(k)] for k in KNOWN_KINDS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", type=Path, default=Path("runs/bench/watch_bank.npz"))
    parser.add_argument("--out", type=Path, default=Path("runs/bench/watch_novel.json"))
    parser.add_argument("--months", type=int, default=12, help="without a new defect, for false alarms")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--seed", type=int, default=5)
    told = parser.parse_args()
    stream, options = Stream.from_bank(told.bank), NovelOptions()
    rng = np.random.default_rng(told.seed)
    history, known = history_of(stream, rng), known_of(stream)
    false = []
    for month in range(told.months):
        watch, crowds = NovelWatch(history, known, options), []
        for hour in range(30 * 24):
            crowds += watch.see(stream.hour(hour, rng)[0])
        unnamed = [c for c in crowds if not c.known]
        false.append(len(unnamed))
        print(f"month {month + 1} without a new defect: {len(unnamed)} false novel alarms, {len(crowds) - len(unnamed)} of"
              " known classes", flush=True)  # fmt: skip
    table = []
    for novel in NOVEL_KINDS if told.repeats else ():
        for rate in (1 / 50, 1 / 200, 1 / 1000):
            hours, escapes, shares, missed = [], [], [], 0
            for _ in range(told.repeats):
                watch, num_escaped = NovelWatch(history, known, options), 0
                for hour in range(24):
                    watch.see(stream.hour(hour, rng)[0])
                for hour in range(24, 24 + 24 * 5):
                    images, more = stream.hour(hour, rng, str(novel), rate)
                    real = []
                    for crowd in watch.see(images):
                        share = float(np.mean([str(novel) in member for member in crowd.members]))
                        if share >= 0.5 and not crowd.known:
                            real.append((crowd, share))
                    if real:
                        since = (real[0][0].raised_ms - 24 * HOUR_MS) / HOUR_MS
                        hours.append(since)
                        escapes.append(num_escaped + more * (since - (hour - 24)))
                        shares.append(real[0][1])
                        break
                    num_escaped += more
                else:
                    missed += 1
            row = {"kind": str(novel), "rate": f"1/{round(1 / rate)}", "found": len(hours), "repeats":
            told.repeats,
                   "detected": stream.detected[str(novel)],
                   "median_hours": float(np.median(hours)) if hours else None, "worst_hours": max(hours, default=None),
                   "median_wafers": float(np.median(hours)) * WAFERS_PER_HOUR if hours else None,
                   "median_escapes": float(np.median(escapes)) if hours else None,
                   "purity": float(np.mean(shares)) if hours else None}  # fmt: skip
            table.append(row)
            print(row, flush=True)
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps({"false_alarms": false, "table": table}, indent=1))


if __name__ == "__main__":
    main()

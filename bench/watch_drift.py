"""Drift on days drawn from the bank: false alarms a quarter, and how soon real drifts are found and named.

    python bench/watch_drift.py --bank runs/bench/watch_bank.npz --out runs/bench/watch_drift.json

The line inspects 12,000 wafers a month at three stations, two products taking turns by lots; each wafer is a
bank wafer of its station with all that was scored of it. Quarters without drift count false alarms of everything
together: the streams of every station, product and statistic, the weekly tests, the weekly points. A gain drift
mixes the wafers of one station with their own images taken at 5 % more light: a step, and ramps over days.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from waferlens.bundle.contents import load_reference
from waferlens.monitoring.cause import Scope
from waferlens.monitoring.drift import Drift, DriftOptions, watch_drift
from waferlens.monitoring.points import moved_points
from waferlens.monitoring.wafer_rows import Levels, SeenImages, WaferRows, learn_levels, point_columns, wafer_rows
from waferlens.monitoring.weekly import compare_weeks
from waferlens.storage.stored import DAY_MS
from waferlens.wiring.watch import wafers_of

WAFERS_PER_DAY, LOT, DAYS = 400, 25, 91
PRODUCTS = ("A7", "B5")
STATION = 1


def images_of(kept, rows: np.ndarray) -> SeenImages:
    return SeenImages(
        wafer=np.char.add("W", kept["wafer"][rows].astype(str)),
        station=np.char.add("station-", kept["station"][rows].astype(str)),
        product=np.full(len(rows), "one"),
        point=kept["point"][rows].astype(np.int64),
        at_ms=np.zeros(len(rows), dtype=np.int64),
        passed=kept["score"][rows] < float(kept["review"]),
        score=kept["score"][rows].astype(float),
        error=kept["error"][rows].astype(float),
        brightness=kept["brightness"][rows].astype(float),
        latents=kept["latent"][rows],
    )


class Line:
    """Draws quarters. values: (bank wafers, V) as they are; bright: the same at more light, NaN at other stations."""

    def __init__(self, kept, levels: Levels) -> None:
        normal = kept["kind"] == ""
        plain, bright = (np.flatnonzero(normal & (kept["gain"] == gain)) for gain in (1.0, kept["gain"].max()))
        self.plain = images_of(kept, plain)
        rows, more = wafer_rows(self.plain, levels), wafer_rows(images_of(kept, bright), levels)
        self.names, self.values = rows.wafer, rows.values
        self.station = np.char.replace(rows.station, "station-", "").astype(int)
        self.bright = np.full_like(self.values, np.nan)
        self.bright[[int(np.flatnonzero(self.names == name)[0]) for name in more.wafer]] = more.values
        columns = point_columns(self.plain, levels)
        self.by_wafer = {n: np.flatnonzero(self.plain.wafer == n) for n in self.names}
        self.scores_apart = columns[:, 0]

    def draw(self, days: int, rng: np.random.Generator, gain=None) -> tuple[WaferRows, np.ndarray]:
        """Wafers of so many days and the bank wafer of each. gain: day to the share of the 5 % at the drifting station."""
        num = days * WAFERS_PER_DAY
        lots = np.arange(num) // LOT
        stations = rng.integers(0, 3, lots[-1] + 1)[lots]
        products = np.array(PRODUCTS)[rng.integers(0, 2, lots[-1] + 1)[lots]]
        pools = [np.flatnonzero(self.station == s) for s in range(3)]
        chosen = np.array([pools[s][rng.integers(len(pools[s]))] for s in stations])
        values, at = self.values[chosen].copy(), np.arange(num) * (DAY_MS // WAFERS_PER_DAY)
        if gain is not None:
            share = np.where(stations == STATION, [gain(day) for day in at / DAY_MS], 0.0)[:, None]
            mixed = (1 - share) * values + share * self.bright[chosen]
            values = np.where(share > 0, mixed, values)
        names = np.char.add("F", np.arange(num).astype(str))
        rows = WaferRows(wafer=names, station=np.char.add("station-", stations.astype(str)), product=products,
                         at_ms=at.astype(np.int64), values=values)  # fmt: skip
        return rows, chosen

    def weekly(self, rows: WaferRows, chosen: np.ndarray, reference, review: float) -> tuple[int, int, float]:
        """Alarms of the weekly tests, of the weekly points, and the largest D seen."""
        week = rows.at_ms // (7 * DAY_MS)
        alarms = points = 0
        worst, before = 0.0, None
        for number in range(int(week[-1])):
            inside = np.flatnonzero(week == number)
            taken = [self.by_wafer[self.names[w]] for w in chosen[inside]]
            images = np.concatenate(taken)
            wafers = np.repeat(inside, [len(t) for t in taken])
            cell = np.char.add(np.char.add(rows.station[wafers], ", "), rows.product[wafers])
            passed = self.plain.passed[images]
            weeks = {str(name): (self.plain.score[images][(cell == name) & passed], wafers[(cell == name) &
            passed])
                     for name in np.unique(cell)}  # fmt: skip
            compared = compare_weeks(weeks, reference.scores, None, review, wafers_of(reference.names))
            alarms += any(each.alarm for each in compared)
            worst = max(worst, max(each.distance for each in compared))
            now = self.scores_apart[images], self.plain.point[images].astype(str)
            if before is not None:
                points += bool(moved_points(before, now))
            before = before or now
        return alarms, points, worst


def named(drift: Drift) -> bool:
    return drift.cause.scope is Scope.STATION and drift.cause.name == f"station-{STATION}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", type=Path, default=Path("runs/bench/watch_bank.npz"))
    parser.add_argument("--bundle", type=Path, required=True, help="its reference is what weeks are compared with")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/watch_drift.json"))
    parser.add_argument("--quarters", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=10, help="of each drift")
    parser.add_argument(
        "--seed", type=int, default=23, help="options were chosen on seed 21, the budget after a look at 22"
    )
    told = parser.parse_args()
    with np.load(told.bank) as archive:
        kept = {name: archive[name] for name in archive.files}
    normal = np.flatnonzero((kept["kind"] == "") & (kept["gain"] == 1.0))
    line = Line(kept, learn_levels(images_of(kept, normal)))
    reference, review = load_reference(told.bundle), float(kept["review"])
    rng, options = np.random.default_rng(told.seed), DriftOptions()
    counts = []
    for quarter in range(told.quarters):
        rows, chosen = line.draw(DAYS, rng)
        drifts = watch_drift(rows, options)
        weekly, points, worst = line.weekly(rows, chosen, reference, review)
        counts.append({"streams": len(drifts), "weeks": weekly, "points": points, "largest_distance": worst})
        print(f"quarter {quarter + 1}: streams {len(drifts)}, weekly tests {weekly}, points {points}, largest D {worst:.3f} "
              + "; ".join(d.told() for d in drifts), flush=True)  # fmt: skip
    found = []
    start = 40.0
    ramps = {"step of 5 %": 1e-9, "5 % over 3 days": 3.0, "5 % over 10 days": 10.0, "5 % over 30 days": 30.0}
    for name, length in ramps.items():
        delays, wafers, right, at_once = [], [], 0, 0
        for _ in range(told.repeats):
            rows, _ = line.draw(int(start + length + 5), rng,
                                lambda day, length=length: float(np.clip((day - start) / length, 0, 1)))  # fmt: skip
            after = [d for d in watch_drift(rows, options) if d.raised_ms >= start * DAY_MS]
            if not after:
                continue
            delays.append(after[0].raised_ms / DAY_MS - start)
            wafers.append(int(((rows.at_ms > start * DAY_MS) & (rows.at_ms <= after[0].raised_ms)).sum()))
            first = rows.take(rows.at_ms <= after[0].raised_ms)
            later = rows.take(rows.at_ms <= after[0].raised_ms + DAY_MS // 2)
            at_once += named(next(d for d in watch_drift(first, options) if d.raised_ms >= start * DAY_MS))
            right += named(next(d for d in watch_drift(later, options) if d.raised_ms >= start * DAY_MS))
        row = {"drift": name, "repeats": told.repeats, "found": len(delays), "named_at_once": at_once,
        "named_within_half_a_day": right,
               "median_days": float(np.median(delays)), "worst_days": float(max(delays)),
               "median_wafers": float(np.median(wafers))}  # fmt: skip
        found.append(row)
        print(row, flush=True)
    total = sum(each["streams"] + each["weeks"] + each["points"] for each in counts)
    print(f"false alarms: {total} in {told.quarters} quarters")
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps({"quarters": counts, "drifts": found}, indent=1))


if __name__ == "__main__":
    main()

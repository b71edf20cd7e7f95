"""A thousand simulated canaries of each kind: what the fixed and the sequential test find, and when.

    python bench/life_canary.py --out runs/bench/canary.json

One week, looked at every hour. Hourly images are binomial draws; in the last kind wafers differ, so that images
of one wafer are alike, and images as well as wafers are counted.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.stats import norm

from waferlens.decision.intervals import clopper_pearson
from waferlens.lifecycle.proportions import sample_needed
from waferlens.lifecycle.sequential import (
    always_valid_p_value,
    one_rate_log_evidence,
    two_rates_log_evidence,
)

HOURS, AN_HOUR, SHARE, POINTS = 168, 3_333, 0.1, 200
P_VALUE = 0.01


def fixed_p_values(k_a, n_a, k_b, n_b):
    """(sims, T) two-sided proportion test at every look."""
    k_a, n_a, k_b, n_b = (np.cumsum(each, axis=-1) for each in (k_a, n_a, k_b, n_b))
    pooled = (k_a + k_b) / np.maximum(n_a + n_b, 1)
    n_a, n_b = np.maximum(n_a, 1), np.maximum(n_b, 1)  # no wafer yet: no difference
    spread = np.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    z = np.divide(k_b / n_b - k_a / n_a, spread, out=np.zeros_like(spread), where=spread > 0)
    return 2 * norm.sf(np.abs(z))


def canaries(rng, num, rate, other):
    """(num, HOURS) events and trials of champion and canary: independent images."""
    n_b = np.full((num, HOURS), round(SHARE * AN_HOUR), dtype=float)
    n_a = AN_HOUR - n_b
    return rng.binomial(n_a.astype(int), rate).astype(float), n_a, rng.binomial(n_b.astype(int), other) * 1.0, n_b


def clustered(rng, num, rate, concentration):
    """The same where wafers differ: a wafer's rate is a beta draw. Images, and wafers with any event, per hour."""
    wafers = AN_HOUR / POINTS
    found = []
    for share in (1 - SHARE, SHARE):
        counts = rng.poisson(wafers * share, (num, HOURS))
        images, hit = np.zeros((num, HOURS)), np.zeros((num, HOURS))
        for index in np.ndindex(counts.shape):
            if counts[index]:
                rates = rng.beta(rate * concentration, (1 - rate) * concentration, counts[index])
                events = rng.binomial(POINTS, rates)
                images[index], hit[index] = events.sum(), (events > 0).sum()
        found.append((images, counts * float(POINTS), hit, counts.astype(float)))
    (i_a, n_a, h_a, w_a), (i_b, n_b, h_b, w_b) = found
    return (i_a, n_a, i_b, n_b), (h_a, w_a, h_b, w_b)


def share_of(found):
    k, n = int(found.sum()), len(found)
    low, high = clopper_pearson(k, n)
    return {"share": k / n, "low": low, "high": high}


def when(p_values, trials):
    """How soon: quantiles of hours and of the canary's images until the first p below the limit."""
    hit = p_values < P_VALUE
    first = np.where(hit.any(axis=-1), hit.argmax(axis=-1), HOURS - 1)
    images = np.take_along_axis(np.cumsum(trials, axis=-1), first[:, None], axis=-1)[:, 0]
    return {
        "hours": [float(q) for q in np.quantile(first + 1, (0.5, 0.9, 1.0))],
        "canary_images": [float(q) for q in np.quantile(images, (0.5, 0.9, 1.0))],
    }


def judged(counts):
    fixed = fixed_p_values(*counts)
    sequential = always_valid_p_value(two_rates_log_evidence(*counts))
    return {
        "fixed, one look at the end": share_of(fixed[:, -1] < P_VALUE),
        "fixed, every hour": share_of((fixed < P_VALUE).any(axis=-1)),
        "sequential, every hour": share_of((sequential < P_VALUE).any(axis=-1)),
        "sequential, how soon": when(sequential, counts[3]),
    }


def escapes(rng, num, rate, limit, defect_rate, audited):
    """A canary with an escape rate: defective images come, those that people settle are counted, hour by hour."""
    canary_images = SHARE * AN_HOUR
    settled = rng.poisson(canary_images * defect_rate * audited, (num, 52 * HOURS // 7)).astype(float)
    passed = rng.binomial(settled.astype(int), rate).astype(float)
    p_values = always_valid_p_value(one_rate_log_evidence(passed, settled, limit, above=True))
    hit = p_values < 0.05
    first = hit.argmax(axis=-1)[hit.any(axis=-1)]
    defects = np.cumsum(settled, axis=-1)[hit.any(axis=-1), first]
    return {
        "rolled back": share_of(hit.any(axis=-1)),
        "hours": [float(q) for q in np.quantile(first + 1, (0.5, 0.9))] if len(first) else None,
        "defects settled": [float(q) for q in np.quantile(defects, (0.5, 0.9))] if len(first) else None,
        "canary_images": [float(q) for q in np.quantile((first + 1) * canary_images, (0.5, 0.9))]
        if len(first)
        else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/canary.json"))
    parser.add_argument("--num", type=int, default=1000)
    told = parser.parse_args()
    rng = np.random.default_rng(6)
    rate = 0.01
    found = {"options": {"hours": HOURS, "images_an_hour": AN_HOUR, "share": SHARE, "reject_rate": rate}}
    found["needed for a doubled rate"] = sample_needed(rate, 2 * rate, share=SHARE)
    found["no difference"] = judged(canaries(rng, told.num, rate, rate))
    found["REJECT rate doubled"] = judged(canaries(rng, told.num, rate, 2 * rate))
    found["REJECT rate up by half"] = judged(canaries(rng, told.num, rate, 1.5 * rate))
    by_image, by_wafer = clustered(rng, told.num, rate, 20.0)
    found["no difference, wafers differ, images counted"] = judged(by_image)
    found["no difference, wafers differ, wafers counted"] = judged(by_wafer)
    for escape_rate in (0.001, 0.01, 0.02, 0.05):
        found[f"escape rate {escape_rate:.1%}"] = escapes(rng, told.num, escape_rate, 0.01, 0.05, 1.0)
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

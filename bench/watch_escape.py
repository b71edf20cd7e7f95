"""The bound of escapes by simulation: how often it fails under continuous looking, and what strata save.

    python bench/watch_escape.py --out runs/bench/watch_escape.json [--bank runs/bench/watch_bank.npz]

Coverage: at the true rates, the chance that the bound was ever wrong in so many audits, looked at after each.
Savings: audits until the bound reaches a target, drawn from all PASS images alike against drawn by stratum as
planned. Strata cut the scores of PASS images into 80, 15 and 5 %, the last just below the threshold. Shares of
escapes by stratum come from the bank (its defects that pass) where one is given.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

from waferlens.decision.intervals import upper_bound
from waferlens.monitoring.escape import _FRACTIONS as FRACTIONS
from waferlens.monitoring.escape import _WEIGHTS as BETS
from waferlens.monitoring.escape import _evidence, plan_chances

WEIGHTS = np.array([0.80, 0.15, 0.05])
NAMES = ("low", "middle", "near the threshold")


def failed_ever(rates: np.ndarray, chances: np.ndarray, runs: int, audits: int, seed: int) -> int:
    """Runs in which the bound was below the true rate at any look: exactly those in which E(true rate) reached 1/alpha."""
    rng, failed = np.random.default_rng(seed), 0
    shares, worths = WEIGHTS * chances / (WEIGHTS @ chances), (WEIGHTS @ chances) / chances
    total = float(WEIGHTS @ rates)
    scale = FRACTIONS[:, None] / (worths.max() - total)
    for _ in range(runs):
        where = rng.choice(len(rates), audits, p=shares)
        worth = np.where(rng.random(audits) < rates[where], worths[where], 0.0)
        logs = np.log1p(np.maximum(scale * (total - worth), -1 + 1e-12)).cumsum(axis=1)
        failed += np.logaddexp.reduce(np.log(BETS)[:, None] + logs, axis=0).max() >= math.log(20)
    return int(failed)


def audits_needed(
    rates: np.ndarray, chances: np.ndarray, target: float, rng, *, step: int = 25, most=400_000
) -> int:
    """Audits until the bound is at most ``target``, looked at after every few."""
    shares, worths = WEIGHTS * chances / (WEIGHTS @ chances), (WEIGHTS @ chances) / chances
    found, num = np.zeros(len(rates)), 0
    while num < most:
        found += rng.binomial(rng.multinomial(step, shares), rates)
        num += step
        if _evidence(worths, num, found, target) >= math.log(20):
            return num
    return most


def profile_from(bank: Path) -> np.ndarray:
    """Shares of the escapes that lie in each stratum, from the bank's defects below the review threshold."""
    with np.load(bank) as kept:
        review = float(kept["review"])
        normal, defects = kept["score"][kept["kind"] == ""], kept["score"][kept["kind"] != ""]
    cuts = np.quantile(normal[normal < review], [0.80, 0.95])
    escapes = defects[defects < review]
    counts = np.bincount(np.searchsorted(cuts, escapes), minlength=3) + 0.5
    print(f"{len(escapes)} of {len(defects)} defects of the bank pass; by stratum {counts - 0.5}")
    return counts / counts.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/watch_escape.json"))
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--runs", type=int, default=2000, help="of the coverage, of each row")
    parser.add_argument("--savings", type=int, default=400, help="runs of the savings, of each row")
    told = parser.parse_args()
    profiles = {"one in two just below the threshold": np.array([0.2, 0.3, 0.5]),
                "nine in ten just below it": np.array([0.03, 0.07, 0.9]),
                "anywhere alike": WEIGHTS.copy()}  # fmt: skip
    if told.bank is not None:
        profiles = {"as the synthetic fab's defects": profile_from(told.bank)} | profiles
    coverage, savings = [], []
    for name, profile in profiles.items():
        for total in (2e-4, 2e-3):
            rates = total * profile / WEIGHTS
            for scheme, chances in (("random", np.ones(3)), ("by stratum", np.array([0.3, 0.6, 1.0]))):
                failed = failed_ever(rates, chances, told.runs, 5000, seed=1)
                coverage.append(
                    {"escapes": name, "rate": total, "audits": scheme, "failed": failed, "runs": told.runs}
                )
                print(f"{name:38s} rate {total:g} {scheme:11s}: ever wrong {failed}/{told.runs}"
                      f" (<= {upper_bound(failed, told.runs):.2%})", flush=True)  # fmt: skip
    rng = np.random.default_rng(2)
    for name, profile in profiles.items():
        for total, target in ((1e-4, 1e-3), (3e-4, 1e-3), (5e-4, 1e-3), (2e-3, 4e-3)):
            rates = total * profile / WEIGHTS
            chances = np.array(plan_chances(WEIGHTS, rates, target)[0])
            random, stratified = (
                np.array([audits_needed(rates, each, target, rng) for _ in range(told.savings)])
                for each in (np.ones(3), chances)
            )
            ratio = stratified.mean() / random.mean()
            # of a ratio of independent means
            error = ratio * np.hypot(*(n.std(ddof=1) / n.mean() / np.sqrt(len(n)) for n in (stratified, random)))
            fewer = 1 - ratio
            row = {"escapes": name, "rate": total, "target": target, "chances": chances.round(3).tolist(),
                   "random": float(np.mean(random)), "stratified": float(np.mean(stratified)), "fewer": float(fewer),
                   "error": float(error)}  # fmt: skip
            savings.append(row)
            print(f"{name:38s} rate {total:g} bound {target:g}: random {row['random']:.0f},"
                  f" by stratum {row['stratified']:.0f} ({fewer:+.0%} ± {1.96 * error:.0%} fewer, chances {row['chances']})", flush=True)  # fmt: skip
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps({"coverage": coverage, "savings": savings}, indent=1))


if __name__ == "__main__":
    main()

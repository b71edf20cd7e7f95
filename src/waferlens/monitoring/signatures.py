"""The pattern that a wafer's defects make, which names the tool: ring, centre, scratch, quadrant, repeater, random.

A signature is a region of the wafer in which points are defective more often than elsewhere. For every region of a
family (rings of several widths, discs, sectors, strips at every angle and offset, one site of every die) the
likelihood ratio of two rates against one is

    L = n_in h(k_in/n_in) + n_out h(k_out/n_out) - n h(k/n),     h(q) = q log q + (1 - q) log(1 - q)

(Kulldorff's scan statistic, 1997). A family with more regions finds a larger L by chance, so families are compared
by their chance: how often the best region of that family is as good when as many points, drawn at random, are
defective. A wafer whose least chance exceeds ``alpha`` is random. Over a lot the same is done with every wafer's
counts added, and points that fail on wafer after wafer are repeaters.

Frame: millimetres from the wafer's centre, x to the right, y up. Knows no record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from scipy.stats import binom

from waferlens.errors import DataError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Signature(StrEnum):
    """What a wafer or a lot shows."""

    REPEATER = "repeater"
    EDGE_RING = "edge ring"
    CENTRE = "centre"
    SCRATCH = "scratch line"
    QUADRANT = "quadrant"
    RANDOM = "random"
    NONE = "none"


LIKELY_CAUSE = {
    Signature.REPEATER: "the same place of the mask or of the stage: reticle contamination, chuck or pin",
    Signature.EDGE_RING: "what differs at the edge: edge bead removal, clamp ring, etch or deposition uniformity",
    Signature.CENTRE: "what differs at the centre: spin coating or developer nozzle, gas or slurry distribution",
    Signature.SCRATCH: "something touched the wafer: handling robot, cassette, polishing grit",
    Signature.QUADRANT: "one side of a chamber or a tilted stage: gas inlet, heater zone, levelling",
    Signature.RANDOM: "particles without a place: clean room, chamber flaking, chemicals",
    Signature.NONE: "too few defective points to show a pattern",
}
"""Where a process engineer looks first."""


class SignatureOptions(BaseModel, frozen=True, extra="forbid"):
    """How sure a pattern must be."""

    alpha: float = Field(0.01, gt=0, lt=0.5, description="chance at which scattered points are called a pattern")
    least_defects: int = Field(4, ge=3, description="defective points below which a wafer shows nothing")
    num_shuffles: int = Field(400, ge=99, description="random wafers that a family's chance is measured on")
    strip_mm: tuple[float, ...] = Field((6.0, 10.0, 16.0), min_length=1, description="widths of strips, mm")


@dataclass(frozen=True, kw_only=True)
class WaferMap:
    """Where a product's points lie. x, y: (P,) mm. site: (P,) which place of its die; radius_mm: of the wafer."""

    x: Floats
    y: Floats
    site: npt.NDArray[np.intp]
    radius_mm: float

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.y) == len(self.site) or not len(self.x):
            raise DataError("a wafer map has no points, or columns of different lengths", expected="(P,) each")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """signature, its likely cause and how it would come about by chance. where: the region in words. points: inside
    it and defective."""

    signature: Signature
    chance: float
    where: str
    points: tuple[int, ...]

    @property
    def cause(self) -> str:
        """Where to look first."""
        return LIKELY_CAUSE[self.signature]


class SignatureFinder:
    """The regions of one wafer map, and how good the best of each family is by chance. Build once, ask often."""

    def __init__(self, wafer_map: WaferMap, options: SignatureOptions | None = None, seed: int = 0) -> None:
        self.map, self.options = wafer_map, options or SignatureOptions()
        self._regions = {family: _unique(found) for family, found in _families(wafer_map, self.options).items()}
        self._seed = seed
        self._by_chance: dict[tuple[Signature, int, int], Floats] = {}

    def of_wafer(self, defective: Bools, inspected: Bools | None = None) -> Shown:
        """What one wafer shows. defective: (P,) points that did not pass; inspected: (P,), all when None."""
        inspected = np.ones(len(self.map.x), dtype=np.bool_) if inspected is None else inspected
        return self._shown(defective[None] & inspected, inspected[None])

    def of_lot(self, defective: Bools, inspected: Bools | None = None) -> Shown:
        """What the wafers of a lot show together. defective, inspected: (W, P). Repeaters are looked for first."""
        inspected = np.ones(defective.shape, dtype=np.bool_) if inspected is None else inspected
        repeated = self._repeated(defective & inspected, inspected)
        return repeated or self._shown(defective & inspected, inspected)

    def _shown(self, defective: Bools, inspected: Bools) -> Shown:
        hits, trials = defective.sum(axis=0), inspected.sum(axis=0)
        if hits.sum() < self.options.least_defects:
            return _shown_as(Signature.NONE, 1.0, "", hits > 0)
        best = (1.0, 0.0, Signature.RANDOM, "", hits > 0)
        for family, (regions, names) in self._regions.items():
            gains = _gains(regions, hits[None], trials[None])[0]
            index = int(gains.argmax())
            by_chance = self._chances(family, hits, trials, len(defective))
            chance = (1 + float((by_chance >= gains[index] - 1e-9).sum())) / (1 + len(by_chance))
            # Among families that shuffling cannot tell apart the one farther beyond what chance gives is meant.
            beyond = float((gains[index] - by_chance.mean()) / max(by_chance.std(), 1e-9))
            if (chance, -beyond) < (best[0], -best[1]):
                best = (chance, beyond, family, names[index], regions[index] & (hits > 0))
        chance, _, family, where, inside = best
        if chance * len(self._regions) > self.options.alpha * len(self._regions):
            return _shown_as(Signature.RANDOM, chance, "", hits > 0)
        return _shown_as(family, chance, where, inside)

    def _chances(self, family: Signature, hits: Floats, trials: Floats, num_wafers: int) -> Floats:
        """(num_shuffles,) the best gain of the family when as many defects lie anywhere. Kept by rough count."""
        total = int(hits.sum())
        rounded = total if total < 20 else int(round(total, -1))
        key = (family, rounded, num_wafers)
        if key not in self._by_chance:
            rng = np.random.default_rng([self._seed, rounded, num_wafers])
            share = trials / trials.sum()
            drawn = np.stack(
                [
                    np.minimum(rng.multinomial(rounded, share), trials)
                    if num_wafers > 1
                    else _scatter(rng, rounded, trials)
                    for _ in range(self.options.num_shuffles)
                ]
            )
            regions, _ = self._regions[family]
            self._by_chance[key] = _gains(regions, drawn, np.broadcast_to(trials, drawn.shape)).max(axis=1)
        return self._by_chance[key]

    def _repeated(self, defective: Bools, inspected: Bools) -> Shown | None:
        """Points defective on more wafers than the others' rate explains, Bonferroni over points."""
        if len(defective) < 3:
            return None
        hits, trials = defective.sum(axis=0), inspected.sum(axis=0)
        rate = np.median(hits / np.maximum(trials, 1)) + hits.sum() / max(trials.sum(), 1)
        chances = binom.sf(hits - 1, trials, min(rate, 0.9)) * len(hits)
        again = (chances < self.options.alpha) & (hits >= 3)
        # Many such points are a region of the wafer, not a place of the mask.
        if not again.any() or again.sum() > max(3, 0.04 * len(hits)):
            return None
        where = "points " + ", ".join(map(str, np.flatnonzero(again)[:8]))
        return _shown_as(Signature.REPEATER, float(chances[again].min()), where, again)


def _shown_as(signature: Signature, chance: float, where: str, points: Bools) -> Shown:
    return Shown(
        signature=signature, chance=min(chance, 1.0), where=where, points=tuple(map(int, np.flatnonzero(points)))
    )


def _scatter(rng: np.random.Generator, num: int, trials: Floats) -> Floats:
    able = np.flatnonzero(trials > 0)
    hits = np.zeros(len(trials))
    hits[rng.choice(able, min(num, len(able)), replace=False)] = 1
    return hits


def _gains(regions: Bools, hits: Floats, trials: Floats) -> Floats:
    """(S, R) log likelihood ratio of every region for every wafer; 0 where it is not worse inside. Arrays (R, P)
    and (S, P)."""
    inside = regions.astype(np.float64).T
    k_in, n_in = hits @ inside, trials @ inside
    k, n = hits.sum(axis=1, keepdims=True), trials.sum(axis=1, keepdims=True)
    k_out, n_out = k - k_in, n - n_in
    gain = _information(k_in, n_in) + _information(k_out, n_out) - _information(k, n)
    worse = k_in * n_out > k_out * n_in
    return np.asarray(np.where(worse, gain, 0.0), dtype=np.float64)


def _information(k: Floats, n: Floats) -> Floats:
    """n h(k / n), 0 for no trials."""
    with np.errstate(divide="ignore", invalid="ignore"):
        good = np.where(k > 0, k * np.log(k / n), 0.0)
        bad = np.where(n - k > 0, (n - k) * np.log((n - k) / n), 0.0)
    return np.asarray(good + bad, dtype=np.float64)


def _unique(found: Sequence[tuple[str, Bools]]) -> tuple[Bools, list[str]]:
    """Regions that hold the same points are one; empty and whole ones are none."""
    kept: dict[bytes, tuple[str, Bools]] = {}
    for name, inside in found:
        if 0 < inside.sum() < len(inside):
            kept.setdefault(inside.tobytes(), (name, inside))
    return np.stack([inside for _, inside in kept.values()]), [name for name, _ in kept.values()]


def _families(wafer: WaferMap, options: SignatureOptions) -> dict[Signature, list[tuple[str, Bools]]]:
    radius, angle = np.hypot(wafer.x, wafer.y) / wafer.radius_mm, np.degrees(np.arctan2(wafer.y, wafer.x)) % 360
    outermost = float(radius.max())
    families: dict[Signature, list[tuple[str, Bools]]] = {
        Signature.EDGE_RING: [
            (f"outer {100 * (outermost - inner):.0f} % of the radius", radius >= inner)
            for inner in np.linspace(0.6, 0.95, 15) * outermost
        ],
        Signature.CENTRE: [
            (f"within {outer * wafer.radius_mm:.0f} mm of the centre", radius <= outer)
            for outer in np.linspace(0.15, 0.5, 12)
        ],
        Signature.QUADRANT: [
            (f"{width} degrees about {start + width / 2:.0f}", ((angle - start) % 360 < width) & (radius > 0.1))
            for width in (75, 90, 105)
            for start in range(0, 360, 15)
        ],
        Signature.SCRATCH: _strips(wafer, options),
    }
    sites = np.unique(wafer.site)
    if len(sites) > 1:
        families[Signature.REPEATER] = [(f"site {site} of every die", wafer.site == site) for site in sites]
    return families


def _strips(wafer: WaferMap, options: SignatureOptions) -> list[tuple[str, Bools]]:
    found = []
    for degrees in range(0, 180, 5):
        across = wafer.x * np.sin(np.radians(degrees)) - wafer.y * np.cos(np.radians(degrees))
        along = wafer.x * np.cos(np.radians(degrees)) + wafer.y * np.sin(np.radians(degrees))
        for width in options.strip_mm:
            for offset in np.arange(-0.9 * wafer.radius_mm, 0.9 * wafer.radius_mm, 0.5 * width):
                strip = np.abs(across - offset) < width / 2
                if strip.sum() < 4:
                    continue
                name = f"a strip of {width:g} mm at {degrees} degrees, {offset:+.0f} mm from the centre"
                found.append((name, strip))
                middle = np.median(along[strip])
                found += [(name, strip & (along <= middle)), (name, strip & (along >= middle))]
    return found

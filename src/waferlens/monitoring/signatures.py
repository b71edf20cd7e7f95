"""The pattern that a wafer's defects make, which names the tool: ring, centre, scratch, quadrant, repeater,
random.

A signature is a region of the wafer in which points are defective more often than elsewhere. For every region of a
family (rings of several widths, discs, sectors, strips at every angle and offset, one site of every die) the
likelihood ratio of two rates against one is

    L = n_in h(k_in/n_in) + n_out h(k_out/n_out) - n h(k/n),     h(q) = q log q + (1 - q) log(1 - q)

(Kulldorff's scan statistic, 1997). A family with more regions finds a larger L by chance, so what counts is the
gain over the mean of the family's best when as many points, drawn at random, are defective; a family whose best
region is as good more often than ``alpha`` shows nothing, and a wafer on which no family does is random. Over a
lot the same is done with the counts of all wafers added, and one more family: the few points that fail on wafer
after wafer.

Frame: millimetres from the wafer's centre, x to the right, y up. Knows no record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from waferlens.errors import DataError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_AGAIN, _MOST_AGAIN = "the same points on wafer after wafer", 8


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
    """signature, its likely cause and how it would come about by chance. where: the region in words. points:
    inside it and defective."""

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
        self._regions = {
            str(family): _unique(found) for family, found in _families(wafer_map, self.options).items()
        }
        self._seed = seed
        self._by_chance: dict[tuple[str, int, int], Floats] = {}

    def of_wafer(self, defective: Bools, inspected: Bools | None = None) -> Shown:
        """What one wafer shows. defective: (P,) points that did not pass; inspected: (P,), all when None."""
        inspected = np.ones(len(self.map.x), dtype=np.bool_) if inspected is None else inspected
        return self._shown(defective[None] & inspected, inspected[None])

    def of_lot(self, defective: Bools, inspected: Bools | None = None) -> Shown:
        """What the wafers of a lot show together. defective, inspected: (W, P)."""
        inspected = np.ones(defective.shape, dtype=np.bool_) if inspected is None else inspected
        return self._shown(defective & inspected, inspected)

    def _shown(self, defective: Bools, inspected: Bools) -> Shown:
        hits, trials = defective.sum(axis=0), inspected.sum(axis=0)
        if hits.sum() < self.options.least_defects:
            return _shown_as(Signature.NONE, 1.0, "", hits > 0)
        best, most = _shown_as(Signature.RANDOM, 1.0, "", hits > 0), 0.0
        for family in self._families(len(defective)):
            gains, regions, names = self._best(family, hits[None], trials[None])
            by_chance = self._chances(family, hits, trials, len(defective))
            chance = (1 + int((by_chance >= gains[0] - 1e-9).sum())) / (1 + len(by_chance))
            beyond = float(gains[0] - by_chance.mean())
            if chance <= self.options.alpha and beyond > most:
                signature = Signature.REPEATER if family == _AGAIN else Signature(family)
                best, most = _shown_as(signature, chance, names[0], regions[0] & (hits > 0)), beyond
        return best

    def _families(self, num_wafers: int) -> list[str]:
        return [*self._regions, _AGAIN] if num_wafers > 2 else list(self._regions)

    def _best(self, family: str, hits: Floats, trials: Floats) -> tuple[Floats, list[Bools], list[str]]:
        """The best region of a family for each row of (S, P) counts: its gain (S,), its points, its name."""
        if family == _AGAIN:
            return _again(hits, trials)
        regions, names = self._regions[family]
        gains = _gains(regions, hits, trials)
        rows = gains.argmax(axis=1)
        return gains.max(axis=1), [regions[row] for row in rows], [names[row] for row in rows]

    def _chances(self, family: str, hits: Floats, trials: Floats, num_wafers: int) -> Floats:
        """(num_shuffles,) the best gain of the family when as many defects lie anywhere. Kept by rough count."""
        total = int(hits.sum())
        rounded = total if total < 20 else round(total, -1)
        key = (family, rounded, num_wafers)
        if key not in self._by_chance:
            rng = np.random.default_rng([self._seed, rounded, num_wafers])
            drawn = np.stack([_scatter(rng, rounded, trials) for _ in range(self.options.num_shuffles)])
            self._by_chance[key] = self._best(family, drawn, np.broadcast_to(trials, drawn.shape))[0]
        return self._by_chance[key]


def _shown_as(signature: Signature, chance: float, where: str, points: Bools) -> Shown:
    return Shown(
        signature=signature, chance=min(chance, 1.0), where=where, points=tuple(map(int, np.flatnonzero(points)))
    )


def _scatter(rng: np.random.Generator, num: int, trials: Floats) -> Floats:
    """So many defects anywhere among the inspected images, none twice on one."""
    images = np.repeat(np.arange(len(trials)), trials.astype(np.intp))
    chosen = rng.choice(images, min(num, len(images)), replace=False)
    return np.bincount(chosen, minlength=len(trials)).astype(np.float64)


def _again(hits: Floats, trials: Floats) -> tuple[Floats, list[Bools], list[str]]:
    """The one to eight points of (S, P) that fail most often, as a region."""
    order = np.argsort(-hits / np.maximum(trials, 1), axis=1, kind="stable")[:, :_MOST_AGAIN]
    ranked_hits, ranked_trials = (
        np.take_along_axis(part, order, axis=1).cumsum(axis=1) for part in (hits, trials)
    )
    k, n = hits.sum(axis=1, keepdims=True), trials.sum(axis=1, keepdims=True)
    gains = (
        _information(ranked_hits, ranked_trials)
        + _information(k - ranked_hits, n - ranked_trials)
        - _information(k, n)
    )
    rows = gains.argmax(axis=1)
    regions = [np.isin(np.arange(hits.shape[1]), own[: row + 1]) for own, row in zip(order, rows, strict=True)]
    names = ["points " + ", ".join(map(str, sorted(own[: row + 1]))) for own, row in zip(order, rows, strict=True)]
    return gains.max(axis=1), regions, names


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

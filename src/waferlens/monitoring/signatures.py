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

from dataclasses import dataclass

import numpy as np

from waferlens.monitoring.signature_regions import (
    Bools,
    Floats,
    Signature,
    SignatureOptions,
    WaferMap,
    distinct,
    gains_of,
    most_failing,
    region_families,
)

_AGAIN = "the same points on wafer after wafer"


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
            str(family): distinct(found) for family, found in region_families(wafer_map, self.options).items()
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
            return most_failing(hits, trials)
        regions, names = self._regions[family]
        gains = gains_of(regions, hits, trials)
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

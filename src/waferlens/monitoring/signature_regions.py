"""The regions that signatures are looked for in, and how much worse a wafer is inside each. Numpy only.

Frame: millimetres from the wafer's centre, x to the right, y up. Legend: R regions, P points, S rows of counts.
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

_MOST_AGAIN = 8


class Signature(StrEnum):
    """What a wafer or a lot shows."""

    REPEATER = "repeater"
    EDGE_RING = "edge ring"
    CENTRE = "centre"
    SCRATCH = "scratch line"
    QUADRANT = "quadrant"
    RANDOM = "random"
    NONE = "none"


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


def most_failing(hits: Floats, trials: Floats) -> tuple[Floats, list[Bools], list[str]]:
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


def gains_of(regions: Bools, hits: Floats, trials: Floats) -> Floats:
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


def distinct(found: Sequence[tuple[str, Bools]]) -> tuple[Bools, list[str]]:
    """Regions that hold the same points are one; empty and whole ones are none."""
    kept: dict[bytes, tuple[str, Bools]] = {}
    for name, inside in found:
        if 0 < inside.sum() < len(inside):
            kept.setdefault(inside.tobytes(), (name, inside))
    return np.stack([inside for _, inside in kept.values()]), [name for name, _ in kept.values()]


def region_families(wafer: WaferMap, options: SignatureOptions) -> dict[Signature, list[tuple[str, Bools]]]:
    """Every region of every family that this map has, each with its name."""
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

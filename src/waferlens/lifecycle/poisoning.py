"""What the old model wrongly passed must not silently become normal: three guards on what a new one learns from.

1. A lot gives a capped share: one bad lot cannot teach a new normal.
2. Each lot's scores, by the champion, are held to those of the champion's own reference normals. Defects that it
passed
   stand close below its threshold: a lot full of them shows, although none of its images does.
3. A random sample is put aside for a blind audit; what the audit finds bounds the share of defects in the whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from scipy.stats import ks_2samp

from waferlens.decision.intervals import upper_bound
from waferlens.errors import GateRefused


class PoisonOptions(BaseModel, frozen=True, extra="forbid"):
    """How suspicious to be."""

    max_lot_share: float = Field(0.1, gt=0, le=1, description="of all images, from one lot")
    max_ks: float = Field(0.35, gt=0, lt=1, description="largest KS distance of a lot's scores to the reference")
    max_ks_all: float = Field(0.15, gt=0, lt=1, description="the same of all images together")
    p_value: float = Field(1e-3, gt=0, lt=1, description="and only below it, divided by the number of lots")
    min_lot_images: int = Field(8, ge=4, description="of a lot that is judged alone")
    num_audit: int = Field(60, ge=1, description="images put aside for a blind audit")
    max_defect_share: float = Field(0.05, gt=0, lt=1, description="upper bound of defects that an audit may leave")


@dataclass(frozen=True, kw_only=True)
class Audited:
    """What a blind audit of the sample found."""

    num_images: int
    num_defective: int


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A lot, or all images, whose scores are not those of normal images. distance: KS, against the reference."""

    lot: str
    num_images: int
    distance: float
    p_value: float


def capped(lots: Mapping[str, str], max_share: float) -> list[str]:
    """Names of images, such that no lot has more than its share of those that remain; which ones by hash, not by
    order.

    lots: image to lot. With few lots the share cannot be kept: each then gives the same number.
    """
    by_lot: dict[str, list[str]] = {}
    for name, lot in lots.items():
        by_lot.setdefault(lot, []).append(name)
    sizes = sorted(map(len, by_lot.values()))
    cap = next((cap for cap in range(max(sizes, default=0), 0, -1) if _keeps(sizes, cap, max_share)), 0)
    cap = cap or min(sizes, default=0)
    return sorted(name for names in by_lot.values() for name in sorted(names, key=_draw)[:cap])


def sample_for_audit(names: Iterable[str], num: int) -> list[str]:
    """A sample that nobody chose: by the hash of the name."""
    return sorted(names, key=_draw)[:num]


def suspects(
    scores: npt.NDArray[np.float64],
    lots: Sequence[str],
    reference: npt.NDArray[np.float64],
    options: PoisonOptions,
) -> list[Suspect]:
    """Lots whose scores (n,) differ from the champion's reference normals (m,) in size and beyond chance."""
    found = []
    groups = {lot: scores[[each == lot for each in lots]] for lot in sorted(set(lots))}
    judged = {lot: values for lot, values in groups.items() if len(values) >= options.min_lot_images}
    limits = dict.fromkeys(judged, options.max_ks) | {"all images": options.max_ks_all}
    for lot, values in {**judged, "all images": scores}.items():
        if not len(values):
            continue
        # One-sided: lots that look more normal than the reference are no danger.
        result = ks_2samp(values, reference, alternative="less")
        if result.statistic > limits[lot] and result.pvalue < options.p_value / len(limits):
            found.append(
                Suspect(
                    lot=lot,
                    num_images=len(values),
                    distance=float(result.statistic),
                    p_value=float(result.pvalue),
                )
            )
    return found


def require_clean(found: Sequence[Suspect], audited: Audited | None, options: PoisonOptions) -> dict[str, Any]:
    """What is known of the training set. Raises GateRefused, saying which lots and what the audit found."""
    if found:
        worst = ", ".join(f"{each.lot} ({each.num_images} images, D = {each.distance:.2f})" for each in found[:5])
        raise GateRefused(
            "the training set may be poisoned: scores are higher than those of normal images",
            expected=f"KS distance up to {options.max_ks:g} a lot, {options.max_ks_all:g} in all",
            found=worst,
        )
    if audited is None or audited.num_images == 0:
        return {"audit": "not enough data: nobody has audited the sample"}
    bound = upper_bound(audited.num_defective, audited.num_images)
    if bound > options.max_defect_share:
        raise GateRefused(
            "the audit of the training set does not rule defects out",
            expected=f"at most {options.max_defect_share:.1%} with 95 % confidence",
            found=f"{audited.num_defective} of {audited.num_images}, up to {bound:.1%}",
        )
    return {"audit": f"{audited.num_defective} of {audited.num_images} defective, at most {bound:.2%}"}


def _keeps(sizes: Sequence[int], cap: int, max_share: float) -> bool:
    total = sum(min(size, cap) for size in sizes)
    return min(cap, sizes[-1]) <= max_share * total


def _draw(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()

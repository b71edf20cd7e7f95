"""Novel defects: each defect type of the test set held out in turn, as if nobody had ever seen it.

A detector that learned from normals alone has seen no type, so its ranking of a held-out type needs no new
training. What holding out changes is every choice that labelled defects could make: a threshold that is set
on the other types meets the held-out one for the first time. Knows scores and labels only.

The threshold that the others would choose is *the largest that misses none of them*, which is the lowest
score among them. It is computed to be judged here, and nothing ever uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from waferlens.decision.intervals import exact_rate
from waferlens.evaluation.image_metrics import image_auroc
from waferlens.evaluation.per_type import UNNAMED
from waferlens.evaluation.ranking import split_by_class
from waferlens.evaluation.resampling import MetricOptions
from waferlens.evaluation.scored import ScoredImages, Scores
from waferlens.records import Estimate


@dataclass(frozen=True, kw_only=True)
class Misses:
    """What one threshold misses of one type. miss_rate: of the type's images, exact interval."""

    threshold: float
    num_missed: int
    miss_rate: Estimate

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "threshold": self.threshold,
            "num_missed": self.num_missed,
            "miss_rate": self.miss_rate.as_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class OthersThreshold:
    """The largest threshold that misses none of the other types.

    num_others: defective images of the other types. misses: of the held-out type.
    overkill_rate: normal images that alarm there, of all normal images: what catching all others costs.
    """

    num_others: int
    misses: Misses
    overkill_rate: Estimate

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "num_others": self.num_others,
            **self.misses.as_dict(),
            "overkill_rate": self.overkill_rate.as_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class HeldOutType:
    """One defect type, never seen before.

    auroc: of its images against all normal images. misses: by threshold name. others: None when the test
    set has no other type. lowest_share: share of bootstrap draws in which no other type has a lower AUROC,
    in [0, 1]; near 1 the type is the hardest beyond the luck of these images.
    """

    defect_type: str
    num_images: int
    auroc: Estimate
    misses: Mapping[str, Misses]
    others: OthersThreshold | None
    lowest_share: float

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "num_images": self.num_images,
            "auroc": self.auroc.as_dict(),
            "lowest_share": self.lowest_share,
            "missed": {name: misses.as_dict() for name, misses in self.misses.items()},
            "others_threshold": None if self.others is None else self.others.as_dict(),
        }


def hold_out_types(
    scored: ScoredImages, thresholds: Mapping[str, float], options: MetricOptions | None = None
) -> tuple[HeldOutType, ...]:
    """Every defect type held out in turn, the worst first.

    Worst is the lowest AUROC; where that ties, the most missed (thresholds in their order), then the name.
    thresholds: name to score; an image below it is missed.
    Raises MetricError when there is no normal or no defective image.
    """
    options = options or MetricOptions()
    normal, _ = split_by_class(scored.scores, scored.defective)
    by_type = _scores_by_type(scored)
    shares = _lowest_shares(normal, list(by_type.values()), options)
    found = [
        _hold_out(name, by_type, normal, thresholds, share, options.confidence)
        for name, share in zip(by_type, shares, strict=True)
    ]
    return tuple(sorted(found, key=_worst_first))


def mean_auroc(types: Sequence[HeldOutType]) -> Estimate:
    """Mean AUROC of the types, each counting the same however many images it has; at least one type.

    Its interval is the mean of the types' ends, as if all of them erred to the same side: conservative, and
    open where every type is ranked perfectly.
    """
    ends = np.array([(held.auroc.value, held.auroc.low, held.auroc.high) for held in types])
    value, low, high = (float(end) for end in ends.mean(axis=0))
    return Estimate(value=value, low=low, high=high)


def _scores_by_type(scored: ScoredImages) -> dict[str, Scores]:
    """Ascending scores of each type, types by name: the order of the images leaves no trace."""
    types = np.array([name or UNNAMED for name in scored.defect_types])
    return {
        str(name): np.sort(scored.scores[scored.defective & (types == name)])
        for name in np.unique(types[scored.defective])
    }


def _hold_out(
    name: str,
    by_type: Mapping[str, Scores],
    normal: Scores,
    thresholds: Mapping[str, float],
    lowest_share: float,
    confidence: float,
) -> HeldOutType:
    mine = by_type[name]
    others = [scores for other, scores in by_type.items() if other != name]
    labels = np.arange(len(normal) + len(mine)) >= len(normal)
    return HeldOutType(
        defect_type=name,
        num_images=len(mine),
        auroc=image_auroc(np.concatenate([normal, mine]), labels, confidence),
        misses={key: _misses(mine, threshold, confidence) for key, threshold in thresholds.items()},
        others=_by_others(mine, np.concatenate(others), normal, confidence) if others else None,
        lowest_share=lowest_share,
    )


def _by_others(mine: Scores, others: Scores, normal: Scores, confidence: float) -> OthersThreshold:
    # An image at the threshold alarms, so the lowest score itself is the largest threshold that misses none.
    threshold = float(others.min())
    return OthersThreshold(
        num_others=len(others),
        misses=_misses(mine, threshold, confidence),
        overkill_rate=exact_rate(int((normal >= threshold).sum()), len(normal), confidence),
    )


def _misses(scores: Scores, threshold: float, confidence: float) -> Misses:
    num_missed = int((scores < threshold).sum())
    return Misses(
        threshold=threshold, num_missed=num_missed, miss_rate=exact_rate(num_missed, len(scores), confidence)
    )


def _worst_first(held: HeldOutType) -> tuple[float, list[float], str]:
    return held.auroc.value, [-misses.miss_rate.value for misses in held.misses.values()], held.defect_type


def _lowest_shares(normal: Scores, groups: Sequence[Scores], options: MetricOptions) -> list[float]:
    """Per group, the share of draws in which its AUROC is the lowest or ties with the lowest.

    A draw takes normal images and the images of each type anew, with replacement.
    """
    rng = np.random.default_rng(options.seed)
    ascending = np.sort(normal)
    m = len(ascending)
    drawn = rng.multinomial(m, np.full(m, 1 / m), size=options.num_draws)
    # (D, m + 1): drawn normal images among the k lowest.
    num_below = np.pad(np.cumsum(drawn, axis=1), ((0, 0), (1, 0)))
    areas = []
    for scores in groups:
        n = len(scores)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=options.num_draws)
        below = num_below[:, np.searchsorted(ascending, scores, side="left")]
        upto = num_below[:, np.searchsorted(ascending, scores, side="right")]
        # Twice the wins, ties counting one: whole numbers, so equal areas compare as equal.
        areas.append((weights * (below + upto)).sum(axis=1) / n)
    table = np.array(areas)
    return [float(share) for share in (table <= table.min(axis=0)).mean(axis=1)]

"""What a test set says about defects that nobody has seen: the section of the report and of metrics.json.

worst_type, mean_auroc    of the types below; null without both classes
types                     by type, worst first: `novelty.HeldOutType`
clusters                  by description: `latent_clusters.Clusters`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from waferlens.evaluation.figures import Picture
from waferlens.evaluation.latent_clusters import Clusters, Grouping, find_clusters
from waferlens.evaluation.latent_map import LatentMap, map_latents
from waferlens.evaluation.novelty import HeldOutType, hold_out_types, mean_auroc
from waferlens.evaluation.plots_latents import latent_map_figure
from waferlens.evaluation.resampling import UNDEFINED, MetricOptions
from waferlens.evaluation.scored import ScoredImages
from waferlens.evaluation.summary import OPERATING_POINT_NAME, fpr_operating_point
from waferlens.records import Estimate

THRESHOLD_TITLES: Mapping[str, str] = {
    OPERATING_POINT_NAME: "Missed at FPR 5\N{NO-BREAK SPACE}%",
    "review": "Passing (below REVIEW)",
    "reject": "Not rejected (below REJECT)",
}
"""What a reader is told that the misses at each threshold are."""

MAP_PICTURE = "latent_map"
CHANCE = 0.05
"""Said to be better than chance: p, times the number of groupings, below this (Bonferroni)."""
WEAK, STRONG = 0.3, 0.7
"""Below and from these indices agreement is said to be weak and strong; a convention, not a finding."""


@dataclass(frozen=True, kw_only=True)
class NovelDefects:
    """types: worst first, empty without both classes. latent_map: None where there is nothing to draw."""

    types: tuple[HeldOutType, ...]
    clusters: tuple[Clusters, ...]
    latent_map: LatentMap | None

    @property
    def worst(self) -> HeldOutType | None:
        """The type that fares worst when nobody has seen it."""
        return self.types[0] if self.types else None

    @property
    def mean_auroc(self) -> Estimate:
        """Over the types; UNDEFINED without any."""
        return mean_auroc(self.types) if self.types else UNDEFINED

    def as_dict(self) -> dict[str, object]:
        """For JSON, without NaN."""
        return {
            "worst_type": None if self.worst is None else self.worst.defect_type,
            "mean_auroc": self.mean_auroc.as_dict(),
            "types": {held.defect_type: held.as_dict() for held in self.types},
            "clusters": {found.description: found.as_dict() for found in self.clusters},
        }

    def in_words(self, grouping: Grouping) -> str:
        """How far groups found without labels are the types, by the limits of this module."""
        num_asked = sum(len(found.groupings) for found in self.clusters)
        if not grouping.num_groups:
            return "no groups found"
        if grouping.p_value * num_asked >= CHANCE:
            return "no better than chance"
        if grouping.agreement.value < WEAK:
            return "weak"
        return "strong" if grouping.agreement.value >= STRONG else "partial"

    def pictures(self) -> dict[str, Picture]:
        """Key: latent_map, where there is one."""
        return {} if self.latent_map is None else {MAP_PICTURE: latent_map_figure(self.latent_map)}


def find_novel_defects(
    scored: ScoredImages,
    *,
    review_threshold: float | None = None,
    reject_threshold: float | None = None,
    options: MetricOptions | None = None,
) -> NovelDefects:
    """Hold each type out, group the defects without their labels, and map the latents.

    review_threshold, reject_threshold: the bundle's, on the calibrated score.
    """
    options = options or MetricOptions()
    point = fpr_operating_point(scored, options)
    named = {
        OPERATING_POINT_NAME: None if point is None else point.threshold,
        "review": review_threshold,
        "reject": reject_threshold,
    }
    thresholds = {name: threshold for name, threshold in named.items() if threshold is not None}
    return NovelDefects(
        types=hold_out_types(scored, thresholds, options) if scored.has_both_classes else (),
        clusters=find_clusters(scored, options),
        latent_map=map_latents(scored, seed=options.seed),
    )

"""Do defects fall into groups by type when nobody says what the types are?

Two descriptions of each defective image: its latent vector, and its heatmap averaged over a coarse grid.
Both are measured in standard deviations of the test set's normal images and grouped by scikit-learn; the
labels come in afterwards, to ask whether groups and types agree.

Shape legend: N test images, D defective ones, C columns of a description, K groups, T types.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from waferlens.errors import MetricError
from waferlens.evaluation.agreement import UNGROUPED, Labels, adjusted_rand, agreement_p_value
from waferlens.evaluation.per_type import UNNAMED
from waferlens.evaluation.reference import sample_indices
from waferlens.evaluation.resampling import MetricOptions
from waferlens.evaluation.scored import BoolArray, ScoredImages, Scores
from waferlens.records import IMAGE_SIZE, Estimate, FloatArray

LATENTS, HEATMAP = "latents", "heatmap"
K_MEANS, DENSITY = "k-means", "HDBSCAN"

GRID_SIZE = 8
"""Cells along each side of the grid that a heatmap is averaged over; one is 32 x 32 pixels."""

MIN_IMAGES = 5
"""Fewer defective images are not grouped: HDBSCAN's smallest group has five."""

MAX_IMAGES = 2_000
"""Defective images that are grouped, at most; beyond it a random selection is."""

NUM_RESTARTS = 20
SMALLEST_STD_SHARE = 0.05
"""A column in which normals vary less than this share of the widest column's deviation is divided by that."""


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """What one method found. num_ungrouped: images that it puts into no group (HDBSCAN's noise).

    agreement: adjusted Rand index with the types. p_value: of types dealt out at random. silhouette of the
    groups, in [-1, 1]; NaN with fewer than two groups.
    """

    method: str
    num_groups: int
    num_ungrouped: int
    agreement: Estimate
    p_value: float
    silhouette: float

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "num_groups": self.num_groups,
            "num_ungrouped": self.num_ungrouped,
            "adjusted_rand_index": self.agreement.as_dict(),
            "p_value": self.p_value,
            "silhouette": None if np.isnan(self.silhouette) else self.silhouette,
        }


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """The groups of one description. why_not: why there are none, empty when there are.

    type_silhouette: of the true types; NaN when undefined.
    """

    description: str
    num_images: int = 0
    num_types: int = 0
    type_silhouette: float = float("nan")
    groupings: tuple[Grouping, ...] = field(default=())
    why_not: str = ""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "num_images": self.num_images,
            "num_types": self.num_types,
            "type_silhouette": None if np.isnan(self.type_silhouette) else self.type_silhouette,
            "groupings": {grouping.method: grouping.as_dict() for grouping in self.groupings},
            "why_not": self.why_not or None,
        }


def find_clusters(scored: ScoredImages, options: MetricOptions | None = None) -> tuple[Clusters, ...]:
    """The groups by latents and by heatmap. A description that the method does not give says so in why_not.

    Raises MetricError when a latent or a heatmap is not finite.
    """
    options = options or MetricOptions()
    described = {
        LATENTS: scored.latents,
        HEATMAP: None if scored.heatmaps is None else pooled_heatmaps(scored.heatmaps),
    }
    return tuple(_clusters(name, vectors, scored, options) for name, vectors in described.items())


def pooled_heatmaps(heatmaps: FloatArray) -> FloatArray:
    """(N, 256, 256) to (N, 64): mean over cells of an 8 x 8 grid, row by row, on a logarithmic scale.

    The inverse hyperbolic sine is linear for normal images and logarithmic far out. Without it a few strong
    defects, hundreds of deviations away, would each be a group and leave one for all others.
    """
    cell = IMAGE_SIZE // GRID_SIZE
    shape = (GRID_SIZE, cell, GRID_SIZE, cell)
    pooled = np.stack([np.asarray(heatmap).reshape(shape).mean(axis=(1, 3)).ravel() for heatmap in heatmaps])
    return np.asarray(np.arcsinh(pooled), dtype=np.float32)


def standardised(vectors: FloatArray, defective: BoolArray) -> Scores:
    """(N, C): departure from the mean of the normals in their standard deviations, column by column.

    With fewer than two normal images all images set the scale. A column in which normals hardly vary has a
    floor for its deviation (SMALLEST_STD_SHARE), so that rounding in an unused latent does not become signal.
    Raises MetricError when a number is not finite.
    """
    values = np.asarray(vectors, dtype=np.float64)
    if not np.isfinite(values).all():
        raise MetricError("a description of an image must be finite", expected="numbers", found="NaN or infinity")
    like = values[~defective] if (~defective).sum() >= 2 else values
    spread = like.std(axis=0)
    floor = SMALLEST_STD_SHARE * float(spread.max()) or 1.0
    scaled: Scores = (values - like.mean(axis=0)) / np.maximum(spread, floor)
    return scaled


def by_content(vectors: FloatArray) -> npt.NDArray[np.intp]:
    """(N,) indices that sort the rows by their numbers.

    k-means starts from rows and sums round by their order; what is found must depend on neither. Names would
    not do: the same images under other names are the same test set.
    """
    return np.lexsort(vectors.T[::-1])


def defect_names(scored: ScoredImages) -> npt.NDArray[np.str_]:
    """(N,) type of each image; a defective one without a type is 'unnamed', a normal one is empty."""
    pairs = zip(scored.defect_types, scored.defective, strict=True)
    return np.array([(name or UNNAMED) if bad else "" for name, bad in pairs])


def _clusters(name: str, vectors: FloatArray | None, scored: ScoredImages, options: MetricOptions) -> Clusters:
    if vectors is None:
        return Clusters(description=name, why_not="This method does not give them.")
    order = by_content(vectors)
    members = np.flatnonzero(scored.defective[order])
    members = members[sample_indices(len(members), MAX_IMAGES, options.seed)]
    rows = standardised(vectors[order], scored.defective[order])[members]
    labels = np.unique(defect_names(scored)[order][members], return_inverse=True)[1]
    num_types = len(set(labels.tolist()))
    why_not = _why_not(rows, num_types)
    if why_not:
        return Clusters(description=name, num_images=len(rows), num_types=num_types, why_not=why_not)
    with threadpool_limits(1):  # sums of several threads round differently from run to run
        found = {K_MEANS: _k_means(rows, num_types, options.seed), DENSITY: _hdbscan(rows)}
    return Clusters(
        description=name,
        num_images=len(rows),
        num_types=num_types,
        type_silhouette=_silhouette(rows, labels),
        groupings=tuple(_grouping(method, rows, groups, labels, options) for method, groups in found.items()),
    )


def _why_not(rows: Scores, num_types: int) -> str:
    if not len(rows):
        return "The test set has no defective image."
    if len(rows) < MIN_IMAGES:
        return f"{len(rows)} defective images are too few to be grouped; it takes {MIN_IMAGES}."
    if num_types < 2:
        return "All defective images are of one type: there is nothing to tell apart."
    if (rows == rows[0]).all():
        return "All defective images are described alike: there is nothing to group by."
    return ""


def _k_means(rows: Scores, num_types: int, seed: int) -> Labels:
    """The best of several seeded restarts; as many groups as types, or as distinct rows where those are fewer."""
    num_groups = min(num_types, len(np.unique(rows, axis=0)))
    labels: Labels = KMeans(num_groups, n_init=NUM_RESTARTS, random_state=seed).fit_predict(rows)
    return labels


def _hdbscan(rows: Scores) -> Labels:
    labels: Labels = HDBSCAN(min_cluster_size=MIN_IMAGES, copy=True).fit_predict(rows)
    return np.where(labels < 0, UNGROUPED, labels)


def _grouping(method: str, rows: Scores, groups: Labels, types: Labels, options: MetricOptions) -> Grouping:
    inside = groups != UNGROUPED
    return Grouping(
        method=method,
        num_groups=len(set(groups[inside].tolist())),
        num_ungrouped=int((~inside).sum()),
        agreement=adjusted_rand(groups, types, options),
        p_value=agreement_p_value(groups, types, options),
        silhouette=_silhouette(rows[inside], groups[inside]),
    )


def _silhouette(rows: Scores, labels: Labels) -> float:
    """Rousseeuw (1987): 1 where each image is far nearer to its own group than to the next, 0 between groups."""
    if not 1 < len(set(labels.tolist())) < len(labels):
        return float("nan")
    return float(silhouette_score(rows, labels))

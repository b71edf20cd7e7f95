"""The latents of a test set as points in a plane: what lies near what, for the eye.

Principal components are a projection: distances are the latents' own, as far as two directions show them.
t-SNE (van der Maaten and Hinton, J. Machine Learning Research 9, 2008) keeps neighbours together and nothing
else. Neither is measured on; `latent_clusters` measures. Knows no colours and no axes.

Shape legend: M images that are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from waferlens.evaluation.latent_clusters import by_content, defect_names, standardised
from waferlens.evaluation.reference import sample_indices
from waferlens.evaluation.scored import BoolArray, ScoredImages, Scores

MIN_IMAGES = 5
"""Fewer images make no map."""

MAX_OF_CLASS = 500
"""Normal and defective images that are shown, at most, of each; beyond it a random selection is."""

PERPLEXITY = 30.0
"""Neighbours that t-SNE looks at, scikit-learn's default; a third of the images where there are few."""

Points = npt.NDArray[np.float64]
"""(M, 2)."""


@dataclass(frozen=True, kw_only=True)
class LatentMap:
    """Where each image lies. types: (M,) str, empty for a normal image. indices: (M,) into the test set.

    components: (M, 2), first principal components of latents in standard deviations of normal images.
    explained: their two shares of the variance of the images shown, in [0, 1]. neighbours: (M, 2) by t-SNE.
    """

    types: npt.NDArray[np.str_]
    indices: npt.NDArray[np.intp]
    components: Points
    explained: tuple[float, float]
    neighbours: Points


def map_latents(scored: ScoredImages, *, seed: int = 0) -> LatentMap | None:
    """Two maps of the latents, the same whatever the order of the images.

    None without latents, without a defective image, with fewer than five images, or where all are alike.
    Raises MetricError when a latent is not finite.
    """
    if scored.latents is None or not scored.defective.any():
        return None
    order = by_content(scored.latents)
    rows, defective = standardised(scored.latents[order], scored.defective[order]), scored.defective[order]
    members = np.concatenate([_some(of_class, seed) for of_class in (~defective, defective)])
    shown, chosen = rows[members], order[members]
    if len(shown) < MIN_IMAGES or (shown == shown[0]).all():
        return None
    with threadpool_limits(1):  # sums of several threads round differently, and t-SNE enlarges that
        pca = PCA(n_components=2, svd_solver="full")
        components = pca.fit_transform(shown)
        neighbours = _t_sne(shown, seed)
    first, second = (float(share) for share in pca.explained_variance_ratio_)
    return LatentMap(
        types=defect_names(scored)[chosen],
        indices=chosen,
        components=np.asarray(components, dtype=np.float64),
        explained=(first, second),
        neighbours=neighbours,
    )


def _some(of_class: BoolArray, seed: int) -> npt.NDArray[np.intp]:
    """At most MAX_OF_CLASS images of a class."""
    members = np.flatnonzero(of_class)
    return members[sample_indices(len(members), MAX_OF_CLASS, seed)]


def _t_sne(rows: Scores, seed: int) -> Points:
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows)
    return np.asarray(points, dtype=np.float64)

"""How well a grouping agrees with known types: the adjusted Rand index, its interval and its p-value.

The index of Hubert and Arabie (J. Classification 2, 1985) counts pairs of images. 1: two images share a group
exactly when they share a type. 0: as much agreement as types dealt out at random would have. It may be
negative. An image in no group shares a group with nobody.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from waferlens.errors import MetricError
from waferlens.evaluation.resampling import MetricOptions, percentile_interval
from waferlens.evaluation.scored import Scores
from waferlens.records import Estimate

Labels = npt.NDArray[np.int64]
"""(N,) one whole number an image."""

UNGROUPED = -1
"""The group of an image that is in no group."""


def adjusted_rand(groups: Labels, types: Labels, options: MetricOptions | None = None) -> Estimate:
    """The index of groups, (N,), against types, (N,), with its bootstrap interval.

    Images are drawn anew while groups stay as found, so the interval does not cover that other images might
    have been grouped otherwise. An image that a draw holds twice is not a pair with itself: such pairs always
    agree and would lift every draw. Where no draw departs from the value, as in perfect agreement, the
    bootstrap knows nothing and the ends are NaN.
    Raises MetricError when groups and types do not pair up or there are fewer than two images.
    """
    options = options or MetricOptions()
    _require_pairs(groups, types)
    value = float(_index(np.ones((1, len(groups))), groups, types)[0])
    rng = np.random.default_rng(options.seed)
    # Drawn in the order of groups and types, so that the order of the images leaves no trace.
    order = np.lexsort((types, groups))
    n = len(order)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=options.num_draws)
    draws = _index(weights.astype(np.float64), groups[order], types[order])
    if np.allclose(draws, value, rtol=0, atol=1e-12):
        return Estimate(value=value, low=float("nan"), high=float("nan"))
    low, high = percentile_interval(draws, options.confidence)
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def agreement_p_value(groups: Labels, types: Labels, options: MetricOptions | None = None) -> float:
    """One-sided permutation p-value: how often types dealt out at random agree at least as well.

    (1 + draws that reach the value) / (1 + draws), so never 0. Dealing types out changes only how many pairs
    share group and type, and that number stands for the index.
    Raises MetricError when groups and types do not pair up or there are fewer than two images.
    """
    options = options or MetricOptions()
    _require_pairs(groups, types)
    num_types = int(types.max()) + 1
    inside = groups != UNGROUPED

    def shared(dealt: Labels) -> int:
        cells = np.bincount(groups[inside] * num_types + dealt[inside])
        return int((cells.astype(np.int64) ** 2).sum())

    observed = shared(types)
    rng = np.random.default_rng(options.seed)
    dealt = np.sort(types)
    reached = sum(shared(rng.permutation(dealt)) >= observed for _ in range(options.num_draws))
    return (1 + reached) / (1 + options.num_draws)


def _index(weights: Scores, groups: Labels, types: Labels) -> Scores:
    """(W,) adjusted Rand index under each row of weights, (W, N): how often each image counts."""
    inside = groups != UNGROUPED
    cells = np.where(inside, groups * (int(types.max()) + 1) + types, UNGROUPED)
    shared, by_group, by_type = (_pairs(weights, labels) for labels in (cells, groups, types))
    everything = np.maximum(_pairs(weights, np.zeros_like(types)), 1)  # a draw of one image has no pair
    expected = by_group * by_type / everything
    room = (by_group + by_type) / 2 - expected
    # No room: everything in one group and one type, or nothing shared anywhere. Both agree completely.
    flat = room <= 1e-9 * everything
    index: Scores = np.where(flat, 1.0, (shared - expected) / np.where(flat, 1.0, room))
    return index


def _pairs(weights: Scores, labels: Labels) -> Scores:
    """(W,) weighted pairs of different images with the same label; UNGROUPED is a label of nobody."""
    names = np.unique(labels[labels != UNGROUPED])
    members = (labels[:, None] == names).astype(np.float64)  # (N, labels)
    total, squares = weights @ members, (weights**2) @ members
    pairs: Scores = ((total**2 - squares) / 2).sum(axis=1)
    return pairs


def _require_pairs(groups: Labels, types: Labels) -> None:
    if groups.shape != types.shape or groups.ndim != 1 or len(groups) < 2:
        raise MetricError(
            "groups and types do not pair up",
            expected="one group and one type for each of at least two images",
            found=f"{groups.shape} and {types.shape}",
        )

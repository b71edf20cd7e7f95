"""Mean and deviation of error maps over normal images, position by position, shrunk to what positions share.

Sums in float64, so that a fold can be taken out again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from waferlens.models.error_map import ErrorMap, border_distance

# Positions count as equally far from the border within a ring this wide.
_RING_PIXELS = 4


class Moments:
    """Running sums of (B, M, 256, 256) maps in float64: one fold's share of the statistics.

    count: (1, M, 1, 1), images; of one map there may be more than of another.
    """

    def __init__(self, like: Tensor) -> None:
        """like: (1, M, 256, 256)."""
        self.total = torch.zeros_like(like, dtype=torch.float64)
        self.squares = torch.zeros_like(self.total)
        self.count = torch.zeros_like(self.total[:, :, :1, :1])

    def add(self, maps: Tensor, which: slice = slice(None)) -> None:
        """which: of the M maps, those that these are."""
        wide = maps.double()
        self.count[:, which] += len(maps)
        self.total[:, which] += wide.sum(dim=0, keepdim=True)
        self.squares[:, which] += wide.square().sum(dim=0, keepdim=True)

    def join(self, other: Moments) -> None:
        """Take in what ``other`` has seen."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    def without(self, other: Moments) -> Moments:
        """The statistics of everything but ``other``, which is a part of this."""
        rest = Moments(self.total)
        rest.join(self)
        rest.count -= other.count
        rest.total -= other.total
        rest.squares -= other.squares
        return rest

    def statistics(
        self, error_map: ErrorMap, *, prior: float, ring_prior: float, floor: float
    ) -> tuple[Tensor, Tensor]:
        """Mean and deviation per position, (1, M, 256, 256) each, as ``error_map`` takes them.

        Both are shrunk to those of positions equally far from the border, by the weight of ``ring_prior`` images,
        the variance to the pooled one too, by ``prior``; it is at least ``floor`` times that. Near the border the
        deviation is larger than measured, by ``error_map.caution``.
        """
        mean = self.total / self.count
        spread = (self.squares - self.count * mean.square()).clamp(min=0)
        free = (self.count - 1).clamp(min=1)
        pooled = spread.mean(dim=(2, 3), keepdim=True) / free
        known = spread + prior * pooled
        if ring_prior > 0:
            known += ring_prior * _over_rings(spread / free, error_map.roi)
            mean = (self.count * mean + ring_prior * _over_rings(mean, error_map.roi)) / (self.count + ring_prior)
        variance = known / (self.count - 1 + prior + ring_prior).clamp(min=1)
        least = floor * pooled + torch.finfo(torch.float32).tiny
        return mean.float(), torch.maximum(variance, least).sqrt().float() * error_map.caution


def _over_rings(values: Tensor, roi: Tensor) -> Tensor:
    """Each position of (1, M, 256, 256) gets the mean of its ring, inside the region of interest."""
    ring = (border_distance() / _RING_PIXELS).long().flatten().to(values.device)
    num_rings = int(ring.max()) + 1
    inside = roi.flatten().to(values.dtype)
    sizes = torch.zeros(num_rings, dtype=values.dtype, device=values.device).index_add(0, ring, inside)
    sums = torch.zeros(values.shape[1], num_rings, dtype=values.dtype, device=values.device)
    sums = sums.index_add(1, ring, values[0].flatten(1) * inside)
    return (sums / sizes.clamp(min=1))[:, ring].view_as(values)

"""Random numbers by address and smooth random fields made of them. Knows nothing of wafers.

Every image can be made alone, in any order and in any process, because each random draw belongs to an address
(stream, wafer, point, ...) and not to a position in a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from waferlens.records import FloatArray


class Stream(IntEnum):
    """The independent sources of randomness; the numbers are part of the data format."""

    DESIGN = 0
    STATION = 1
    WAFER = 2
    DIE = 3
    PROCESS = 4
    STAGE = 5
    NOISE = 6
    DEFECT_SPEC = 7
    DEFECT_SHAPE = 8


def generator(seed: int, stream: Stream, *address: int) -> np.random.Generator:
    """The generator of one address; the same arguments give the same draws on every machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream, *address))))


@dataclass(frozen=True, kw_only=True)
class SmoothField:
    """A stationary Gaussian random field of unit variance on a square, cheap to sample.

    White noise filtered by a Gaussian of standard deviation ``correlation / 2`` has the autocorrelation
    ``exp(-(distance / correlation)**2)``. The noise is filtered on a grid as coarse as that allows and
    interpolated linearly; the interpolation's loss of variance between nodes is known and undone. No matrix
    product, although one is shorter: BLAS threads of several workers would fight for the cores.

    size: pixels a side. sigma_nodes: the filter's standard deviation in nodes. below (size,): node left of each
    pixel. share (size,): weight of the node to its right. gain (size,): brings each pixel's variance to 1.
    """

    size: int
    num_nodes: int
    sigma_nodes: float
    below: npt.NDArray[np.intp]
    share: FloatArray
    gain: FloatArray

    @classmethod
    def build(cls, size: int, correlation_px: float) -> SmoothField:
        """Precompute the weights for a (size, size) field whose correlation falls to 1/e at correlation_px."""
        step = max(1, int(correlation_px / 2.0 / 1.5))
        sigma_nodes = correlation_px / 2.0 / step
        position = np.arange(size) / step
        below = np.floor(position).astype(np.intp)
        share = position - below
        neighbours = np.exp(-1.0 / (4.0 * sigma_nodes**2))
        variance = share**2 + (1.0 - share) ** 2 + 2.0 * share * (1.0 - share) * neighbours
        # In one dimension the filter leaves 1 / (2 sqrt(pi) sigma) of the variance of white noise.
        gain = np.sqrt(2.0 * np.sqrt(np.pi) * sigma_nodes / variance)
        return cls(
            size=size,
            num_nodes=int(below[-1]) + 2,
            sigma_nodes=sigma_nodes,
            below=below,
            share=share.astype(np.float32),
            gain=gain.astype(np.float32),
        )

    def sample(self, rng: np.random.Generator) -> FloatArray:
        """One (size, size) float32 field with mean 0 and variance 1."""
        pad = int(np.ceil(3.0 * self.sigma_nodes))
        side = self.num_nodes + 2 * pad
        noise = rng.standard_normal((side, side), dtype=np.float32)
        nodes = ndimage.gaussian_filter(noise, self.sigma_nodes, mode="wrap", truncate=4.0)[pad:-pad, pad:-pad]
        rows = self._interpolate(nodes)
        return np.ascontiguousarray(self._interpolate(rows.T).T)

    def _interpolate(self, nodes: FloatArray) -> FloatArray:
        """(num_nodes, K) to (size, K) along the first axis, variance kept."""
        first, second = nodes[self.below], nodes[self.below + 1]
        result: FloatArray = (first + self.share[:, None] * (second - first)) * self.gain[:, None]
        return result

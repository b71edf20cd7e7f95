"""PCA reconstruction error (case study section 3.3), inside the same ``Detector`` as the VAE.

PCA is the best *linear* autoencoder. Put in the place of the network, it gets the same preprocessing, the same
calibration on the same held-out normals and the same score, so a difference in results is one of networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, Field
from sklearn.decomposition import PCA, IncrementalPCA
from torch import Tensor, nn

from waferlens.errors import DataError
from waferlens.records import IMAGE_SIZE
from waferlens.training.feed import Feed
from waferlens.training.schedule import Indices


class PcaOptions(BaseModel, frozen=True, extra="forbid"):
    """How many components are tried, and how much is held at once."""

    num_components: tuple[Annotated[int, Field(ge=1)], ...] = Field((10, 50, 100, 200), min_length=1)
    exact_up_to: int = Field(1_000, ge=0, description="images of an exact fit; more are fitted randomised")
    in_memory_up_to: int = Field(4_000, ge=0, description="images held at once; more are fitted incrementally")
    batch_size: int = Field(512, ge=16, description="images held at once when the set does not fit in memory")


class LinearReconstructor(nn.Module):
    """Projection on k components and back; stands where ``PixelVAE`` stands."""

    def __init__(self, mean: Tensor, components: Tensor) -> None:
        """mean: (65536,). components: (k, 65536), orthonormal rows."""
        super().__init__()
        self.mean = nn.Parameter(mean, requires_grad=False)
        self.components = nn.Parameter(components, requires_grad=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, 256, 256) to its reconstruction, same shape, and the coordinates (B, k)."""
        coordinates = (image.flatten(1) - self.mean) @ self.components.T
        return (coordinates @ self.components + self.mean).view_as(image), coordinates


@dataclass(frozen=True, kw_only=True)
class FittedPca:
    """One reconstructor for each k that the data allows.

    asked: the k's of the options. cut: those that were lowered, with what the data allows.
    explained: share of the training variance that each k explains.
    """

    reconstructors: dict[int, LinearReconstructor]
    asked: tuple[int, ...]
    largest_possible: int
    explained: dict[int, float]

    @property
    def cut(self) -> dict[int, int]:
        """Asked k to used k, where they differ: n images span at most n - 1 components."""
        return {k: self.largest_possible for k in self.asked if k > self.largest_possible}


def fit_pca(training: Feed, options: PcaOptions) -> FittedPca:
    """Fit once with the largest k; smaller k are its first components.

    Exact up to ``exact_up_to`` images, randomised (Halko, Martinsson & Tropp 2011) up to ``in_memory_up_to``,
    incremental (Ross et al. 2008) beyond: memory then depends on ``batch_size`` and not on the number of images.
    Raises DataError with fewer than three training images.
    """
    if len(training) < 3:
        raise DataError("too few images for PCA", expected="3 or more", found=str(len(training)))
    largest = len(training) - 1
    used = sorted({min(k, largest) for k in options.num_components})
    model = _fitted(training, used[-1], options)
    mean = torch.from_numpy(np.ascontiguousarray(model.mean_, dtype=np.float32))
    components = torch.from_numpy(np.ascontiguousarray(model.components_, dtype=np.float32))
    return FittedPca(
        reconstructors={k: LinearReconstructor(mean, components[:k].clone()) for k in used},
        asked=options.num_components,
        largest_possible=largest,
        explained={k: float(model.explained_variance_ratio_[:k].sum()) for k in used},
    )


def _fitted(training: Feed, k: int, options: PcaOptions) -> PCA | IncrementalPCA:
    if len(training) <= options.in_memory_up_to:
        solver = "full" if len(training) <= options.exact_up_to else "randomized"
        return PCA(k, svd_solver=solver, random_state=0).fit(_flat(training, np.arange(len(training))))
    model = IncrementalPCA(k)
    for part in _parts(len(training), max(options.batch_size, k)):
        model.partial_fit(_flat(training, part))
    return model


def _parts(num_images: int, size: int) -> Sequence[Indices]:
    """Consecutive parts of at least ``size`` images: the incremental fit refuses a part smaller than k."""
    return np.array_split(np.arange(num_images), max(1, num_images // size))


def _flat(training: Feed, indices: Indices) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return training.take(indices).cpu().numpy().reshape(len(indices), IMAGE_SIZE * IMAGE_SIZE)

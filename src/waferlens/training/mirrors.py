"""Decides from normal images whether a product looks as normal in a mirror. If so, each image is worth several.

Solar cells do; a transistor, whose leads point down, does not. Half of the training images say what is normal at
every cell of 8x8 pixels (mean grey level, and its spread inside the cell); the other half is compared with that,
as it is and mirrored, and then the other way round. If mirrored images can be told from the others, by the mean
over cells or by the place that departs most (a product may be symmetric but for one mark), nothing is mirrored.
What never lies in one place can hardly be told from its mirror image, and is mirrored too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.stats import mannwhitneyu
from torch import Tensor

from waferlens.images.augment import AugmentationOptions
from waferlens.training.features import once_through
from waferlens.training.feed import Feed

FLIPS = {"horizontal_flip": 3, "vertical_flip": 2}
"""Options that may be left to be decided, and the dimension of (B, C, H, W) that each mirrors."""

FEWEST_IMAGES = 32
"""Of fewer training images nothing is said, and nothing is mirrored."""

_MOST_IMAGES = 512
_CELL = 8
# How often a mirrored image may depart farther than one as it is: 0.5 where nothing tells them apart. Solar cells
# lie at 0.50 to 0.57, from 300 images and from 40; what is not symmetric, from 20 images on, at 0.77 and more.
_MOST_TOLD_APART = 0.6
# Of a cell's variance this share is the mean over all cells: a few dozen images may agree at one by chance.
_SHARED_VARIANCE = 0.1
_LEAST_VARIANCE = 1e-4  # of grey levels inside a cell, before the logarithm: a deviation of 1 % of full scale


@torch.inference_mode()
def settled(options: AugmentationOptions, training: Feed) -> AugmentationOptions:
    """The options with every flip that is left to be decided set to true or false. Same images, same answer."""
    undecided = [name for name in FLIPS if getattr(options, name) == "auto"]
    if not undecided:
        return options
    found = dict.fromkeys(undecided, False)
    if len(training) >= FEWEST_IMAGES:
        image = torch.cat([_summary(batch) for batch in once_through(training, _MOST_IMAGES)])
        for name in undecided:
            found[name] = told_apart(image, FLIPS[name]) <= _MOST_TOLD_APART
    return options.model_copy(update=found)


def told_apart(summaries: Tensor, dimension: int) -> float:
    """How often a mirrored image departs farther from normal ones than an image as it is: 0.5 if by chance alone.

    summaries: (N, C, H, W), of normal images. The larger of two areas under the ROC curve, of mean and of peak.
    """
    as_it_is, mirrored = [], []
    halves = summaries[::2], summaries[1::2]
    for known, judged in (halves, halves[::-1]):
        as_it_is.append(_departures(judged, known))
        mirrored.append(_departures(judged.flip(dimension), known))
    one, other = torch.cat(as_it_is).T, torch.cat(mirrored).T
    return max(
        float(mannwhitneyu(mirror, image).statistic) / (len(mirror) * len(image))
        for image, mirror in zip(one.numpy(), other.numpy(), strict=True)
    )


def _departures(judged: Tensor, known: Tensor) -> Tensor:
    """(N, 2): how far each image is from ``known`` on the mean over cells, and where it is farthest."""
    mean, variance = known.mean(dim=0), known.var(dim=0)
    pooled = variance.mean(dim=(1, 2), keepdim=True)
    variance = (1 - _SHARED_VARIANCE) * variance + _SHARED_VARIANCE * pooled
    squares = (judged - mean).square() / (variance + torch.finfo(torch.float32).tiny)
    # Neighbourhoods of 3x3 cells, the farthest nine, of grey levels or of their spread.
    farthest = F.avg_pool2d(squares, 3, stride=1).flatten(2).topk(9, dim=2).values
    return torch.stack([squares.mean(dim=(1, 2, 3)), farthest.mean(dim=2).amax(dim=1)], dim=1)


def _summary(image: Tensor) -> Tensor:
    """(B, 1, 256, 256) to (B, 2, 32, 32): mean and log variance of every cell."""
    mean = F.avg_pool2d(image, _CELL)
    variance = (F.avg_pool2d(image.square(), _CELL) - mean.square()).clamp(min=0)
    return torch.cat([mean, (variance + _LEAST_VARIANCE).log()], dim=1).cpu()

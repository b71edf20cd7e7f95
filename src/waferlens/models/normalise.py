"""Intensity normalisation: the first layer of the detector. Knows nothing of files or of the network.

Raw pixels in, the image the network sees out. Two stations that light the same wafer differently must give
the same image, so two steps, each switchable in the recipe:

1. flat field: divide by the low-pass background (illumination tilt, vignetting), keep its mean;
2. robust percentiles: stretch the 1st and 99th percentile to fixed grey levels (gain, offset).

Percentiles are taken on 4x4 box means: 4,096 values instead of 65,536 (a sort is the one thing that every
engine does slowly) and insensitive to single hot pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from waferlens.models.smoothing import gaussian_matrix, smooth
from waferlens.records import IMAGE_SIZE

_BOX = 4
_BACKGROUND_BOX = 8
_NUM_BOXES = (IMAGE_SIZE // _BOX) ** 2


class NormaliseOptions(BaseModel, frozen=True, extra="forbid"):
    """Which steps run, and how. Grey levels are fractions of full scale."""

    flat_field: bool = True
    flat_field_sigma: float = Field(48.0, gt=4, le=256, description="of the low-pass background, pixels")
    percentiles: bool = True
    percentile_tail: float = Field(0.01, gt=0, lt=0.5, description="fraction of pixels beyond each level")
    low_level: float = Field(0.1, ge=0, lt=1, description="grey level given to the lower percentile")
    high_level: float = Field(0.9, gt=0, le=1, description="grey level given to the upper percentile")
    min_contrast: float = Field(
        0.02, gt=0, le=1, description="smaller percentile ranges are not stretched further"
    )


class Normalise(nn.Module):
    """(B, 1, 256, 256) ``uint8``, or float32 in [0, 1], to float32 in [0, 1]. Nothing is learned here."""

    background_matrix: Tensor

    def __init__(self, options: NormaliseOptions) -> None:
        super().__init__()
        self.options = options
        self.num_tail = max(1, round(options.percentile_tail * _NUM_BOXES))
        matrix = gaussian_matrix(options.flat_field_sigma, IMAGE_SIZE, box=_BACKGROUND_BOX)
        # A constant, not something learned: it is rebuilt from the options, never stored.
        self.register_buffer("background_matrix", matrix, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise a batch; uint8 is read as 0..255, float as [0, 1]."""
        x = pixels.float() * (1.0 / 255.0) if pixels.dtype == torch.uint8 else pixels
        if self.options.flat_field:
            x = self._flatten_field(x)
        if self.options.percentiles:
            x = self._stretch(x)
        return x.clamp(0.0, 1.0)

    def _flatten_field(self, x: Tensor) -> Tensor:
        background = smooth(F.avg_pool2d(x, _BACKGROUND_BOX), self.background_matrix)
        level = background.mean(dim=(2, 3), keepdim=True)
        # A dark corner is lifted at most fourfold: beyond that there is no signal, only noise.
        return x * level / torch.maximum(background, 0.25 * level + 1e-6)

    def _stretch(self, x: Tensor) -> Tensor:
        boxes = F.avg_pool2d(x, _BOX).flatten(1)
        high = torch.topk(boxes, self.num_tail, dim=1).values[:, -1].view(-1, 1, 1, 1)
        low = -torch.topk(-boxes, self.num_tail, dim=1).values[:, -1].view(-1, 1, 1, 1)
        contrast = (high - low).clamp(min=self.options.min_contrast)
        # One factor and one term for each image: two passes over the pixels instead of four.
        gain = (self.options.high_level - self.options.low_level) / contrast
        return x * gain + (self.options.low_level - low * gain)

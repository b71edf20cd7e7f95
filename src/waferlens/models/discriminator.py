"""Tells damage from what normal images leave: the expected image beside the one found.

A variational autoencoder never meets its image exactly, and how far from it a normal image may lie differs by
structure: edges move, grain never repeats. Statistics by position know where; they do not know what. A small
convolutional network that was shown normal images with random damage (``training.discriminator``) learns what a
difference looks like that no normal image leaves. It is told no position, so it carries over to any, and shown no
real defect, so it is no classifier of those.

    image, expected image, their difference (B, 3, 256, 256)
    │  Conv 4x4 stride 2, pool, two Conv 3x3, pool, two Conv 3x3
    (B, 64, 32, 32) ◄─ beside it, of a network over features, residual and features through Conv 1x1
    │  Conv 3x3 dilated by 1, 2 and 4: what is 56 pixels away counts
    suspicion (B, 1, 32, 32): log odds that a cell of 8x8 pixels is damaged

The idea of judging an expected image beside the one found is DRAEM's (Zavrtanik, Kristan & Skočaj 2021); here the
network that expects is a VAE trained on undamaged images, and its statistics by position are kept beside.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

_SLOPE = 0.2


class DiscriminatorOptions(BaseModel, frozen=True, extra="forbid"):
    """Whether there is one, and its shape."""

    enabled: bool | Literal["auto"] = Field(
        False,
        description='whether a network that was shown random damage judges beside; `"auto"`: of many images',
    )
    at_least: int = Field(
        60, ge=1, description='training images from which on `"auto"` has one: of fewer it learns them by heart'
    )
    width: int = Field(16, ge=4, le=128, description="channels of its first convolution over pixels")
    trunk: int = Field(64, ge=8, le=256, description="channels of its convolutions over cells of 8x8 pixels")


class Discriminator(nn.Module):
    """About 0.2 M parameters; untrained until ``training.discriminator``."""

    def __init__(self, options: DiscriminatorOptions, num_features: int = 0) -> None:
        """num_features: channels of what a network over features has to show, 0 for one over pixels."""
        super().__init__()
        self.num_features = num_features
        width, trunk = options.width, options.trunk
        self.pixels = nn.Sequential(
            *_conv(3, width, 4, stride=2), nn.MaxPool2d(2),
            *_conv(width, 2 * width, 3), *_conv(2 * width, 2 * width, 3), nn.MaxPool2d(2),
            *_conv(2 * width, 4 * width, 3), *_conv(4 * width, 4 * width, 3),
        )  # fmt: skip
        self.features = nn.Sequential(*_conv(num_features, trunk, 1)) if num_features else None
        joined = 4 * width + (trunk if num_features else 0)
        self.trunk = nn.Sequential(
            *_conv(joined, trunk, 3), *_conv(trunk, trunk, 3, dilation=2), *_conv(trunk, trunk, 3, dilation=4),
            nn.Conv2d(trunk, 1, 1),
        )  # fmt: skip

    def forward(self, image: Tensor, reconstruction: Tensor, evidence: Tensor | None = None) -> Tensor:
        """(B, 1, 32, 32) log odds, float32.

        image, reconstruction: (B, 1, 256, 256) in [0, 1]. evidence: (B, F, 32, 32), of a network over features.
        """
        seen = self.pixels(torch.cat([image, reconstruction, image - reconstruction], dim=1))
        if self.features is not None:
            seen = torch.cat([seen, self.features(evidence)], dim=1)
        return cast(Tensor, self.trunk(seen)).float()


def _conv(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    padding = dilation * ((kernel - 1) // 2)
    return [
        nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=padding, dilation=dilation, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(_SLOPE, inplace=True),
    ]

"""``feature-vae``: a variational autoencoder over the feature maps of a frozen, pretrained backbone.

Knows nothing of illumination, calibration or decisions: normalised image in; out come what the network expects,
as an image and as features, and how far the features found are from those expected.

        image (B, 1, 256, 256)
        │  Backbone, frozen: strides 8 and 16, brought to 32x32, standardised per position
        features (B, 152, 32, 32) ───────────────────────────────┐
        │  Conv 1x1, two Conv 3x3 stride 2, Conv 1x1             │
        ├─ Linear → mean, log variance (B, 128)                  │
        z ── Linear, mirror of the encoder ──► expected features ┴─► residual ──┐
        │                                     averaged over 3x3, Whitening ─► departure (B, 1, 32, 32)
        └─ Linear, five ConvTranspose ──► reconstruction (B, 1, 256, 256), for people; no part of the score
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, field_validator
from torch import Tensor, nn

from waferlens.models.backbone import CHANNELS, Backbone
from waferlens.models.pixel_vae import Posterior
from waferlens.models.whitening import Whitening
from waferlens.records import LATENT_DIM

NUM_FEATURES = CHANNELS["stride8"] + CHANNELS["stride16"]
FEATURE_SIDE = 32
Scale = Literal["cells", "averaged"]
SCALES: tuple[Scale, ...] = ("cells", "averaged")
"""At which residuals may be judged: of each cell as it is, or averaged over 3x3."""
_SIDE = FEATURE_SIDE // 4
_LOG_VARIANCE_LIMIT = 20.0
_SLOPE = 0.2
_PIXEL_CHANNELS = (64, 48, 32, 24, 16)


class FeatureVAEOptions(BaseModel, frozen=True, extra="forbid"):
    """Shape of the network: by default 2.2 M parameters learned, 0.7 M of the backbone."""

    kind: Literal["feature-vae"] = "feature-vae"
    width: int = Field(96, ge=8, le=512, description="channels of the first stage; twice as many in the second")
    squeezed: int = Field(32, ge=4, le=256, description="channels before the latent heads")
    whitening_rank: int = Field(
        32,
        ge=1,
        le=NUM_FEATURES,
        description="directions of a position's residual that have a variance of their own",
    )
    whitening_prior_images: float = Field(
        40.0, gt=0, description="weight, in images, of the covariance of all positions in that of each"
    )
    variance_floor: float = Field(
        0.1, gt=0, le=1, description="share of a feature's mean variance mixed into that of each position"
    )
    scales: tuple[Scale, ...] = Field(
        ("averaged",),
        min_length=1,
        description="at which residuals are judged, the larger counting; with `cells` for defects of a few pixels",
    )

    @field_validator("scales")
    @classmethod
    def _each_once(cls, scales: tuple[Scale, ...]) -> tuple[Scale, ...]:
        if len(set(scales)) < len(scales):
            raise ValueError("each scale at most once")
        return scales


class Residual(NamedTuple):
    """residual, features: (B, 152, 32, 32), found minus expected and found, standardised. latent: (B, 128), the
    posterior mean. raw: (B, 152, 32, 32), as the backbone found them."""

    residual: Tensor
    latent: Tensor
    features: Tensor
    raw: Tensor


class FeatureVAE(nn.Module):
    """Backbone, standardisation, encoder, two decoders, whitening. ``forward`` is inference."""

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, options: FeatureVAEOptions) -> None:
        super().__init__()
        self.options = options
        self.num_departures = len(options.scales)
        self.num_evidence = 2 * NUM_FEATURES
        wide, narrow = options.width, options.squeezed
        flat = narrow * _SIDE * _SIDE
        self.backbone = Backbone()
        self.register_buffer("feature_mean", torch.zeros(1, NUM_FEATURES, FEATURE_SIDE, FEATURE_SIDE))
        self.register_buffer("feature_scale", torch.ones(1, NUM_FEATURES, FEATURE_SIDE, FEATURE_SIDE))
        self.encoder = nn.Sequential(
            _conv(NUM_FEATURES, wide, 1), _conv(wide, wide, 3, stride=2), _conv(wide, 2 * wide, 3, stride=2),
            _conv(2 * wide, narrow, 1),
        )  # fmt: skip
        self.to_mean = nn.Linear(flat, LATENT_DIM)
        self.to_log_variance = nn.Linear(flat, LATENT_DIM)
        self.from_latent = nn.Linear(LATENT_DIM, flat)
        self.decoder = nn.Sequential(
            _conv(narrow, 2 * wide, 1), _up(2 * wide, wide), _up(wide, wide), nn.Conv2d(wide, NUM_FEATURES, 1)
        )
        self.to_pixels = nn.Linear(LATENT_DIM, _PIXEL_CHANNELS[0] * _SIDE * _SIDE)
        self.pixel_decoder = nn.Sequential(
            *(_up(i, o) for i, o in pairwise(_PIXEL_CHANNELS)),
            nn.ConvTranspose2d(_PIXEL_CHANNELS[-1], 1, 4, stride=2, padding=1),
        )
        self.whitening = nn.ModuleList(
            Whitening(NUM_FEATURES, FEATURE_SIDE**2, options.whitening_rank) for _ in options.scales
        )

    def train(self, mode: bool = True) -> FeatureVAE:
        """The backbone stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def raw_features(self, image: Tensor) -> Tensor:
        """(B, 1, 256, 256) in [0, 1] to (B, 152, 32, 32) float32, not yet standardised."""
        found = self.backbone(image)
        coarse = F.interpolate(found.stride16, scale_factor=2, mode="bilinear", align_corners=False)
        return torch.cat([found.stride8, coarse], dim=1).float()

    def features(self, image: Tensor) -> Tensor:
        """What the network models: (B, 152, 32, 32), near mean 0 and deviation 1 at every position."""
        return self._standardised(self.raw_features(image))

    def _standardised(self, raw: Tensor) -> Tensor:
        return (raw - self.feature_mean) * self.feature_scale

    def encode(self, features: Tensor) -> Posterior:
        """(B, 152, 32, 32) to the posterior over z. In float32 whatever autocast does."""
        flat = self.encoder(features).flatten(1)
        log_variance = self.to_log_variance(flat).float()
        return Posterior(self.to_mean(flat).float(), log_variance.clamp(-_LOG_VARIANCE_LIMIT, _LOG_VARIANCE_LIMIT))

    def decode(self, z: Tensor) -> Tensor:
        """(B, 128) to the expected features (B, 152, 32, 32), float32."""
        maps = self.from_latent(z).view(-1, self.options.squeezed, _SIDE, _SIDE)
        return cast(Tensor, self.decoder(maps)).float()

    def decode_pixels(self, z: Tensor) -> Tensor:
        """(B, 128) to logits (B, 1, 256, 256), float32."""
        maps = self.to_pixels(z).view(-1, _PIXEL_CHANNELS[0], _SIDE, _SIDE)
        return cast(Tensor, self.pixel_decoder(F.leaky_relu(maps, _SLOPE))).float()

    def residual(self, image: Tensor) -> Residual:
        """What the network leaves of the features of an image (B, 1, 256, 256)."""
        raw = self.raw_features(image)
        features = self._standardised(raw)
        latent = self.to_mean(self.encoder(features).flatten(1)).float()
        return Residual(features - self.decode(latent), latent, features, raw)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Inference: expected image, latent (B, 128), departure (B, M, 32, 32) in deviations, evidence, features.

        M: one for each of ``options.scales``. Expected image: (B, 1, 256, 256). Evidence: (B, 304, 32, 32),
        residual and standardised features, for a discriminator. Features: (B, 152, 32, 32) as the backbone found
        them, for a bank.
        """
        residual, latent, features, raw = self.residual(image)
        found = [
            whitening(part).view(-1, 1, FEATURE_SIDE, FEATURE_SIDE)
            for whitening, part in zip(self.whitening, at_scales(residual, self.options.scales), strict=True)
        ]
        evidence = torch.cat([residual, features], dim=1)
        return torch.sigmoid(self.decode_pixels(latent)), latent, torch.cat(found, dim=1), evidence, raw


def at_scales(residual: Tensor, scales: Sequence[Scale] = SCALES) -> list[Tensor]:
    """A residual (B, 152, 32, 32) as it is and averaged over 3x3 cells, or one of them, each (B, 152, 1024).

    Small defects stand out in the first, in the second those that are faint and wide: noise averages out.
    """
    return [(residual if scale == "cells" else averaged(residual)).flatten(2) for scale in scales]


def averaged(features: Tensor) -> Tensor:
    """(B, F, 32, 32): means over 3x3 cells, at the border over those that there are."""
    return F.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False)


def _conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )


def _up(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )

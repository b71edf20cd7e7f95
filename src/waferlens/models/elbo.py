"""The evidence lower bound (ELBO), term by term. Knows nothing of networks or of training schedules.

    ELBO(x) = E_q(z|x)[log p(x|z)] - KL(q(z|x) || p(z))         Kingma & Welling 2014, equation 3

Every term is in nats per image: summed over the D = H*W pixels or the Z latent dimensions, then
averaged over the batch. The network's last layer gives *logits*; each likelihood says what they mean.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

LikelihoodName = Literal["bernoulli", "continuous-bernoulli", "gaussian"]

# Within this distance of 1/2 the closed forms of the continuous Bernoulli are 0/0: use the series.
_SERIES_HALF_WIDTH = 0.02


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag(exp(log_variance))) || N(0, I)), closed form, in nats.

    mean, log_variance: (B, Z). Returns (B,). Kingma & Welling 2014, appendix B.
    """
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1)


def reparameterise(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One sample z = mean + sigma * eps with eps ~ N(0, I), differentiable in both arguments. (B, Z)."""
    noise = torch.empty_like(mean).normal_(generator=generator)
    return mean + (0.5 * log_variance).exp() * noise


def negative_log_likelihood(
    likelihood: LikelihoodName, logits: Tensor, target: Tensor, log_sigma: Tensor | None = None
) -> Tensor:
    """-log p(target | z) in nats per image, (B,).

    logits, target: (B, 1, H, W), target in [0, 1]. log_sigma: scalar, only for ``gaussian``.

    bernoulli: the case study's binary cross entropy. It is a log-likelihood for {0, 1} only; on grey
    values its minimum over the prediction is still at the target, so it ranks predictions correctly.
    continuous-bernoulli: the same plus the normalising constant that makes it a density on [0, 1]
    (Loaiza-Ganem & Cunningham 2019, equation 5).
    gaussian: N(sigmoid(logits), sigma^2) with one learned sigma (Rybkin et al. 2021, sigma-VAE).
    """
    if likelihood == "gaussian":
        if log_sigma is None:
            raise ValueError("the gaussian likelihood needs log_sigma")
        residual = (target - torch.sigmoid(logits)) * (-log_sigma).exp()
        nll = 0.5 * residual.square() + log_sigma + 0.5 * math.log(2 * math.pi)
    else:
        nll = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        if likelihood == "continuous-bernoulli":
            nll = nll - log_normaliser(torch.sigmoid(logits))
    return nll.flatten(1).sum(dim=1)


def expected_pixels(likelihood: LikelihoodName, logits: Tensor) -> Tensor:
    """E[x | z], the image that the model expects, in [0, 1]; same shape as logits."""
    parameter = torch.sigmoid(logits)
    return continuous_bernoulli_mean(parameter) if likelihood == "continuous-bernoulli" else parameter


def log_normaliser(parameter: Tensor) -> Tensor:
    """log C(l) of the continuous Bernoulli density C(l) l^x (1-l)^(1-x) on [0, 1]; l in (0, 1).

    C(l) = 2 artanh(1 - 2l) / (1 - 2l), with C(1/2) = 2. Near 1/2 a Taylor series in (l - 1/2)^2 is used.
    """
    safe, near_half = _split_near_half(parameter)
    exact = torch.log(2 * torch.atanh(1 - 2 * safe) / (1 - 2 * safe))
    squared = (parameter - 0.5).square()
    series = math.log(2.0) + squared * (4 / 3 + squared * 104 / 45)
    return torch.where(near_half, series, exact)


def continuous_bernoulli_mean(parameter: Tensor) -> Tensor:
    """Mean of the continuous Bernoulli: l / (2l - 1) + 1 / (2 artanh(1 - 2l)), and 1/2 at l = 1/2."""
    safe, near_half = _split_near_half(parameter)
    exact = safe / (2 * safe - 1) + 1 / (2 * torch.atanh(1 - 2 * safe))
    offset = parameter - 0.5
    series = 0.5 + offset * (1 / 3 + offset.square() * 16 / 45)
    return torch.where(near_half, series, exact)


def _split_near_half(parameter: Tensor) -> tuple[Tensor, Tensor]:
    """The parameter kept off 0, 1/2 and 1 (so that no branch of ``where`` makes a NaN gradient)."""
    clipped = parameter.clamp(1e-6, 1 - 1e-6)
    near_half = (clipped - 0.5).abs() < _SERIES_HALF_WIDTH
    return torch.where(near_half, torch.full_like(clipped, 0.25), clipped), near_half

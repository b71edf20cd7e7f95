"""The ELBO's terms against Monte Carlo, quadrature, scipy and slow loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from waferlens.models.elbo import (
    continuous_bernoulli_mean,
    expected_pixels,
    kl_to_standard_normal,
    log_normaliser,
    negative_log_likelihood,
    reparameterise,
)

LIKELIHOODS = ["bernoulli", "continuous-bernoulli", "gaussian"]
PARAMETERS = [1e-5, 0.01, 0.2, 0.45, 0.479, 0.481, 0.4999, 0.5, 0.5001, 0.519, 0.521, 0.7, 0.99, 1 - 1e-5]


def batch(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def images(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


def test_the_kl_term_is_that_of_torch_distributions():
    mean, log_variance = batch(0, 5, 128), batch(1, 5, 128)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(dim=1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected, rtol=1e-5, atol=1e-4)


def test_the_kl_term_is_what_monte_carlo_finds():
    mean, deviation = np.array([0.7, -1.2]), np.array([0.5, 1.6])
    z = mean + deviation * np.random.default_rng(3).standard_normal((200_000, 2))
    ratio = stats.norm.logpdf(z, mean, deviation).sum(axis=1) - stats.norm.logpdf(z).sum(axis=1)
    found = kl_to_standard_normal(torch.tensor(mean)[None], 2 * torch.tensor(deviation).log()[None])
    assert found.item() == pytest.approx(ratio.mean(), abs=4 * ratio.std() / math.sqrt(len(ratio)))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-6, 6)), min_size=1, max_size=6))
def test_the_kl_term_is_never_negative_and_nil_only_at_the_prior(posterior):
    mean, log_variance = torch.tensor(posterior, dtype=torch.float64).T[:, None]
    assert kl_to_standard_normal(mean, log_variance).item() >= -1e-12
    assert kl_to_standard_normal(torch.zeros(1, 8), torch.zeros(1, 8)).item() == 0.0


def test_the_bernoulli_term_is_the_case_studys_sum():
    logits, target = batch(2, 2, 1, 6, 5), images(3, 2, 1, 6, 5)
    found = negative_log_likelihood("bernoulli", logits, target)
    for image in range(2):
        total = 0.0
        for x, logit in zip(target[image].flatten().tolist(), logits[image].flatten().tolist(), strict=True):
            predicted = 1 / (1 + math.exp(-logit))
            total -= x * math.log(predicted) + (1 - x) * math.log(1 - predicted)
        assert found[image].item() == pytest.approx(total, rel=1e-5)


def test_the_gaussian_term_is_scipys():
    logits, target, log_sigma = batch(4, 3, 1, 8, 8), images(5, 3, 1, 8, 8), torch.tensor(-1.3)
    found = negative_log_likelihood("gaussian", logits, target, log_sigma)
    expected = -stats.norm.logpdf(target.numpy(), torch.sigmoid(logits).numpy(), math.exp(-1.3)).sum(
        axis=(1, 2, 3)
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_the_gaussian_term_needs_its_sigma():
    with pytest.raises(ValueError, match="log_sigma"):
        negative_log_likelihood("gaussian", torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_the_continuous_bernoulli_is_a_density_with_the_stated_mean(parameter):
    wide = torch.tensor(parameter, dtype=torch.float64)
    constant = math.exp(log_normaliser(wide).item())

    def density(x):
        return constant * parameter**x * (1 - parameter) ** (1 - x)

    assert integrate.quad(density, 0, 1)[0] == pytest.approx(1.0, abs=1e-6)
    mean = integrate.quad(lambda x: x * density(x), 0, 1)[0]
    assert continuous_bernoulli_mean(wide).item() == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("function", [log_normaliser, continuous_bernoulli_mean])
def test_the_series_near_one_half_joins_the_closed_form_in_single_precision(function):
    parameter = torch.linspace(0.4, 0.6, 4001)
    values = function(parameter)
    assert (values - function(parameter.double()).float()).abs().max() < 2e-5
    assert (values[1:] - values[:-1]).abs().max() < 1e-4


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("logit", [-60.0, -8.0, 0.0, 1e-4, 8.0, 60.0])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_loss_and_gradient_are_finite_however_sure_the_network_is(likelihood, logit, target):
    logits = torch.full((1, 1, 2, 2), logit, requires_grad=True)
    log_sigma = torch.tensor(-3.0, requires_grad=True)
    loss = negative_log_likelihood(likelihood, logits, torch.full((1, 1, 2, 2), target), log_sigma)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("parameter", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("function", [log_normaliser, continuous_bernoulli_mean])
def test_the_continuous_bernoulli_has_finite_gradients_at_black_grey_and_white(function, parameter):
    value = torch.tensor([parameter], requires_grad=True)
    result = function(value)
    result.sum().backward()
    assert result.isfinite().all()
    assert value.grad.isfinite().all()


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_best_prediction_of_a_grey_value_is_that_value(likelihood):
    target = torch.full((1, 1, 1, 1), 0.3)
    candidates = torch.linspace(-3, 3, 2001)
    losses = [
        negative_log_likelihood(likelihood, logit.view(1, 1, 1, 1), target, torch.tensor(-2.0)).item()
        for logit in candidates
    ]
    assert torch.sigmoid(candidates[int(np.argmin(losses))]).item() == pytest.approx(0.3, abs=0.01)


def test_the_continuous_bernoulli_predicts_its_mean_not_its_parameter():
    target = torch.full((1, 1, 1, 1), 0.3)
    candidates = torch.linspace(-6, 6, 4001)
    losses = [
        negative_log_likelihood("continuous-bernoulli", logit.view(1, 1, 1, 1), target).item()
        for logit in candidates
    ]
    best = candidates[int(np.argmin(losses))].view(1, 1, 1, 1)
    assert expected_pixels("continuous-bernoulli", best).item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_expected_pixels_are_grey_values_that_rise_with_the_logit(likelihood):
    pixels = expected_pixels(likelihood, torch.linspace(-30, 30, 601))
    assert ((pixels >= 0) & (pixels <= 1)).all()
    assert (pixels.diff() >= -1e-5).all()


def test_samples_have_the_posteriors_mean_and_deviation():
    mean, log_variance = torch.tensor([[0.5, -2.0]]), torch.tensor([[-1.0, 1.0]])
    generator = torch.Generator().manual_seed(0)
    z = reparameterise(mean.expand(100_000, 2), log_variance.expand(100_000, 2), generator)
    torch.testing.assert_close(z.mean(dim=0), mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(z.std(dim=0), (0.5 * log_variance[0]).exp(), atol=0.03, rtol=0)


def test_a_sample_is_differentiable_in_both_arguments():
    mean, log_variance = torch.zeros(3, 4, requires_grad=True), torch.full((3, 4), 0.6, requires_grad=True)
    z = reparameterise(mean, log_variance, torch.Generator().manual_seed(1))
    z.sum().backward()
    noise = (z / math.exp(0.3)).detach()
    torch.testing.assert_close(mean.grad, torch.ones(3, 4))
    torch.testing.assert_close(log_variance.grad, 0.5 * math.exp(0.3) * noise)


def test_the_same_generator_state_gives_the_same_sample():
    first, second = (
        reparameterise(torch.zeros(2, 3), torch.zeros(2, 3), torch.Generator().manual_seed(9)) for _ in range(2)
    )
    assert torch.equal(first, second)

"""The network: the case study's table, the budget of parameters, and shapes."""

import pytest
import torch
from pydantic import ValidationError

import tiny
from waferlens.models.pixel_vae import PixelVAE, PixelVAEOptions

LITERAL = PixelVAEOptions(bottleneck_channels=0)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def literal():
    return PixelVAE(LITERAL)


def test_the_default_network_keeps_the_budget_of_fifteen_million_parameters():
    assert 7_400_000 < count(PixelVAE(PixelVAEOptions())) < 7_450_000


def test_the_literal_heads_have_the_case_studys_parameters(literal):
    assert count(literal.to_mean) == 8_388_736
    assert count(literal.to_log_variance) == 8_388_736
    assert count(literal) == pytest.approx(26.3e6, rel=0.002)


def test_the_literal_encoder_is_the_case_studys_table(literal):
    # The table counts biases; here the batch normalisation that follows each convolution has them.
    table = {32: 320, 64: 18_496, 128: 73_856, 256: 295_168}
    x = torch.zeros(1, 1, 256, 256)
    for stage, (channels, parameters) in zip(literal.encoder, table.items(), strict=True):
        convolution, normalisation, activation = stage
        x = stage(x)
        side = 128 * 32 // channels
        assert x.shape == (1, channels, side, side)
        assert count(convolution) + channels == parameters
        assert count(normalisation) == 2 * channels
        assert isinstance(activation, torch.nn.LeakyReLU)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
@pytest.mark.parametrize("decoder", ["transpose", "resize"])
@pytest.mark.parametrize("channels", [(2, 3), (4, 4, 8, 8), (2, 2, 3, 3, 4, 4)])
def test_every_shape_of_network_gives_an_image_and_128_latents(likelihood, decoder, channels):
    options = PixelVAEOptions(channels=channels, bottleneck_channels=2, decoder=decoder, likelihood=likelihood)
    network = tiny.network(options=options).eval()
    with torch.inference_mode():
        reconstruction, latent = network(torch.rand(2, 1, 256, 256))
    assert reconstruction.shape == (2, 1, 256, 256)
    assert latent.shape == (2, 128)
    assert reconstruction.min() >= 0
    assert reconstruction.max() <= 1


def test_inference_decodes_the_posterior_mean():
    network = tiny.network().eval()
    image = torch.rand(2, 1, 256, 256)
    with torch.inference_mode():
        reconstruction, latent = network(image)
        posterior = network.encode(image)
        torch.testing.assert_close(latent, posterior.mean)
        torch.testing.assert_close(reconstruction, torch.sigmoid(network.decode(posterior.mean)))


def test_the_posterior_and_the_logits_are_single_precision_under_autocast():
    network = tiny.network().eval()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        posterior = network.encode(torch.rand(1, 1, 256, 256))
        logits = network.decode(posterior.mean)
    assert {posterior.mean.dtype, posterior.log_variance.dtype, logits.dtype} == {torch.float32}


def test_a_posterior_cannot_be_so_narrow_or_wide_that_it_overflows():
    network = tiny.network().eval()
    with torch.no_grad():
        network.to_log_variance.bias.fill_(1e6)
        assert network.encode(torch.rand(1, 1, 256, 256)).log_variance.exp().isfinite().all()


def test_only_the_gaussian_likelihood_learns_a_noise():
    for likelihood in ("bernoulli", "continuous-bernoulli", "gaussian"):
        network = PixelVAE(tiny.NETWORK.model_copy(update={"likelihood": likelihood}))
        assert network.log_sigma.requires_grad == (likelihood == "gaussian")


@pytest.mark.parametrize(
    "told", [{"channels": (8,)}, {"channels": (2,) * 7}, {"bottleneck_channels": -1}, {"decoder": "magic"}]
)
def test_a_network_that_cannot_be_built_is_refused(told):
    with pytest.raises(ValidationError):
        PixelVAEOptions(**told)

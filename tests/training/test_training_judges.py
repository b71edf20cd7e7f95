"""What judges beside the network, by the number of training images."""

import pytest

import tiny
from waferlens.models.detector import DetectorOptions
from waferlens.models.discriminator import DiscriminatorOptions
from waferlens.models.feature_bank import FeatureBankOptions
from waferlens.models.feature_vae import FeatureVAEOptions
from waferlens.settings.recipe import load_recipe
from waferlens.training.judges import settled_judges

FEATURES = FeatureVAEOptions(width=8, squeezed=4)
AUTO = {
    "discriminator": DiscriminatorOptions(enabled="auto", at_least=50),
    "feature_bank": FeatureBankOptions(enabled="auto", fewer_than=30),
}


def decided(options, num_training):
    settled = settled_judges(options, num_training)
    return settled.discriminator.enabled, settled.feature_bank.enabled


@pytest.mark.parametrize(
    ("num_training", "expected"),
    [(2, (False, True)), (29, (False, True)), (30, (False, False)), (49, (False, False)), (50, (True, False))],
)
def test_few_images_have_a_bank_and_many_a_discriminator(num_training, expected):
    assert decided(DetectorOptions(network=FEATURES, **AUTO), num_training) == expected


def test_a_network_over_pixels_never_has_a_bank():
    assert decided(DetectorOptions(network=tiny.NETWORK, **AUTO), 2) == (False, False)
    assert decided(DetectorOptions(network=tiny.NETWORK, **AUTO), 50) == (True, False)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("num_training", [2, 5_000])
def test_what_a_recipe_says_stays(told, num_training):
    options = DetectorOptions(
        network=FEATURES,
        discriminator=DiscriminatorOptions(enabled=told),
        feature_bank=FeatureBankOptions(enabled=told),
    )
    assert settled_judges(options, num_training) == options


@pytest.mark.parametrize(
    ("num_training", "expected"),
    [(59, (False, True)), (60, (True, True)), (149, (True, True)), (150, (True, False))],
)
def test_by_the_default_recipe_something_always_judges_beside(num_training, expected):
    assert decided(load_recipe(None).fit_options().detector, num_training) == expected

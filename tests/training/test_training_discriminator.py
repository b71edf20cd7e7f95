"""The discriminator learns damage that it was never shown, from training images alone."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import tiny
from waferlens.images.augment import AugmentationOptions
from waferlens.images.planting import PlantKind, PlantSpec, plant
from waferlens.models.detector import DetectorOptions
from waferlens.models.discriminator import DiscriminatorOptions
from waferlens.training.discriminator import DamageOptions, _damaged, learn_discriminator
from waferlens.training.feed import Feed

OPTIONS = DetectorOptions(
    network=tiny.NETWORK, discriminator=DiscriminatorOptions(enabled=True, width=8, trunk=16)
)
DAMAGE = DamageOptions(num_images=320, epochs=8)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images():
    return tiny.normals(20)


def learned(images, seed=0, damage=DAMAGE):
    detector = tiny.detector(1, OPTIONS)
    feed = Feed(images, np.arange(12), detector.normalise, CPU)
    loss = learn_discriminator(detector, feed, AugmentationOptions(), damage, seed)
    return detector, loss


@pytest.fixture(scope="module")
def taught(images):
    return learned(images)


def test_only_the_discriminator_learns(taught):
    before, (detector, loss) = tiny.detector(1, OPTIONS), taught
    for name, value in detector.state_dict().items():
        if not name.startswith("discriminator."):
            assert torch.equal(value, before.state_dict()[name]), name
    assert not detector.discriminator.training
    assert 0 < loss < 0.3


def test_planted_defects_on_images_that_took_no_part_are_suspected(images, taught):
    detector, _ = taught
    rng = np.random.default_rng(0)
    normal = images.take(np.arange(12, 20))
    bad = np.stack([plant(image, PlantSpec(kind=PlantKind.ERASED, size_px=40), rng).image for image in normal])
    with torch.inference_mode():
        peaks = [
            detector.answer(detector.normalise(torch.from_numpy(part)[:, None])).suspicion.amax((1, 2, 3))
            for part in (normal, bad)
        ]
    assert roc_auc_score([0] * 8 + [1] * 8, torch.cat(peaks).numpy()) > 0.9


def test_the_same_seed_gives_the_same_weights(images, taught):
    again, loss = learned(images)
    assert loss == taught[1]
    weights = again.discriminator.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in taught[0].discriminator.state_dict().items())


def test_another_seed_draws_other_damage(images):
    detector = tiny.detector(1, OPTIONS)
    feed = Feed(images, np.arange(12), detector.normalise, CPU)
    few = DamageOptions(num_images=16)
    masks = [next(_damaged(feed, AugmentationOptions(), few, seed))[1] for seed in (0, 1)]
    assert not torch.equal(*masks)


def test_noise_lies_over_damage_as_over_all_else():
    blank = tiny.pack(np.full((4, 256, 256), 128, np.uint8))
    feed = Feed(blank, np.arange(4), tiny.detector(1, OPTIONS).normalise, CPU)
    varied, told = AugmentationOptions(noise_sigma=0.02), DamageOptions(num_images=256, most_patches=1)
    shares = []
    for images, damaged in _damaged(feed, varied, told, 0):
        inner = -torch.nn.functional.max_pool2d(-damaged, 13, 1, 6) > 0  # without edges
        for image, inside in zip(images[:, 0, 8:-8, 8:-8], inner[:, 0, 8:-8, 8:-8], strict=True):
            if inside.sum() > 200 and abs(image[inside].mean() - 0.5) < 0.3:  # nothing is clipped
                fine = image - torch.nn.functional.avg_pool2d(image[None, None], 3, 1, 1)[0, 0]
                shares.append(float(fine[inside].std() / fine[~inside].std()))
    assert len(shares) > 10
    assert min(shares) > 0.7  # 0 where damage has no noise


def test_as_many_images_are_made_as_asked_and_some_stay_as_they_are(images):
    detector = tiny.detector(1, OPTIONS)
    feed = Feed(images, np.arange(12), detector.normalise, CPU)
    told = DamageOptions(num_images=70, undamaged_share=0.5)
    masks = torch.cat([mask for _, mask in _damaged(feed, AugmentationOptions(), told, 0)])
    assert len(masks) == 70
    undamaged = int((masks.amax((1, 2, 3)) == 0).sum())
    assert 20 <= undamaged <= 50


def test_a_detector_without_a_discriminator_is_refused(images):
    detector = tiny.detector(1)
    feed = Feed(images, np.arange(12), detector.normalise, CPU)
    with pytest.raises(ValueError, match="no discriminator"):
        learn_discriminator(detector, feed, AugmentationOptions(), DAMAGE, 0)

"""The loop: it learns, resumes to the same bit, refuses what is not finite, stops when nothing gets better."""

import math

import numpy as np
import pytest
import runs
import torch

import tiny
from waferlens.errors import NonFiniteLossError, TrainingError
from waferlens.models.elbo import negative_log_likelihood
from waferlens.models.feature_vae import FeatureVAE, FeatureVAEOptions
from waferlens.training import objective as objective_module
from waferlens.training.checkpoint import load_checkpoint
from waferlens.training.feed import Feed
from waferlens.training.hardware import multiplies_bf16, resolve_precision, start_fabric
from waferlens.training.loop import best_epoch, validation_loss
from waferlens.training.objective import ElboObjective, RememberedFeatures

KEYS = {
    "epoch", "reconstruction", "kl", "total", "validation_reconstruction", "beta", "learning_rate", "seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def fabric(one_thread):
    return runs.cpu()


@pytest.fixture(scope="module")
def images(normals):
    return tiny.pack(normals.pixels[:40])


@pytest.fixture(scope="module")
def reference(fabric, images, tmp_path_factory):
    """An uninterrupted run of three epochs of three steps."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return runs.run(fabric, images, folder, tiny.training_options(epochs=3))


def same_weights(first, second):
    return all(torch.equal(first[name], second[name]) for name in first) and first.keys() == second.keys()


class PoisonedFeed(Feed):
    """Gives NaN pixels in the place of one image."""

    poisoned = None

    def take(self, indices):
        batch = super().take(indices).clone()
        if self.poisoned is not None:
            batch[torch.from_numpy(np.asarray(indices) == self.poisoned)] = math.nan
        return batch


def test_the_loss_falls_towards_that_of_a_perfect_prediction(fabric, images, tmp_path):
    feeds = runs.feeds_of(images)
    _, history = runs.run(
        fabric, images, tmp_path, tiny.training_options(epochs=6, min_epoch_images=64), feeds=feeds
    )
    validation = feeds[1].take(np.arange(len(feeds[1])))
    floor = negative_log_likelihood("bernoulli", validation.logit(1e-6), validation).mean().item()
    losses = [epoch["validation_reconstruction"] - floor for epoch in history]
    assert 0 < losses[-1] < 0.85 * losses[0]
    assert history[-1]["reconstruction"] < history[0]["reconstruction"]


def test_the_history_logs_the_three_losses_apart(reference):
    _, history = reference
    assert [epoch["epoch"] for epoch in history] == [0, 1, 2]
    for epoch in history:
        assert epoch.keys() == KEYS
        assert epoch["total"] == pytest.approx(epoch["reconstruction"] + epoch["beta"] * epoch["kl"])
    assert history[-1]["learning_rate"] == pytest.approx(1e-5)
    assert history[-1]["beta"] == 1.0


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(fabric, images, tmp_path, reference):
    again, _ = runs.run(fabric, images, tmp_path / "again", tiny.training_options(epochs=3))
    other, _ = runs.run(fabric, images, tmp_path / "other", tiny.training_options(epochs=3), seed=8)
    assert same_weights(again.state_dict(), reference[0].state_dict())
    assert not same_weights(other.state_dict(), reference[0].state_dict())


@pytest.mark.parametrize("stop_at", [(0, 2), (1, 1), (1, 3), (2, 3)])
def test_a_run_that_was_interrupted_ends_with_the_weights_of_one_that_was_not(
    fabric, images, tmp_path, reference, stop_at
):
    options = tiny.training_options(epochs=3, checkpoint_steps=1)

    def interrupt(progress):
        if (progress.epoch, progress.step) == stop_at:
            raise runs.Interrupted

    with pytest.raises(runs.Interrupted):
        runs.run(fabric, images, tmp_path, options, watch=interrupt)
    # Another beginning: nothing may survive but what the checkpoint holds.
    resumed, history = runs.run(fabric, images, tmp_path, options, network=tiny.network(99))
    assert same_weights(resumed.state_dict(), reference[0].state_dict())
    for mine, uninterrupted in zip(history, reference[1], strict=True):
        assert {**mine, "seconds": 0} == {**uninterrupted, "seconds": 0}


def test_a_finished_run_is_not_trained_again(fabric, images, tmp_path):
    options = tiny.training_options()
    first, _ = runs.run(fabric, images, tmp_path, options)
    told = []
    again, history = runs.run(fabric, images, tmp_path, options, watch=told.append, network=tiny.network(99))
    assert told == []
    assert len(history) == options.epochs
    assert same_weights(first.state_dict(), again.state_dict())


def test_an_image_that_is_not_finite_stops_the_run_before_the_step(fabric, images, tmp_path):
    feeds = runs.feeds_of(images, PoisonedFeed)
    told = []

    def poison(progress):
        told.append((progress.epoch, progress.step))
        if told[-1] == (0, 3):
            feeds[0].poisoned = int(indices_of_step(images, 1, 1)[0])

    network, options = tiny.network(7), tiny.training_options(epochs=3, checkpoint_steps=1)
    with pytest.raises(NonFiniteLossError, match="epoch 1, step 1"):
        runs.run(fabric, images, tmp_path, options, feeds=feeds, watch=poison, network=network)
    assert told[-1] == (1, 1)
    state, weights, _ = load_checkpoint(tmp_path, runs.RUN)
    assert (state.epoch, state.step) == (1, 1)
    assert all(value.isfinite().all() for value in weights.values())
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, weights[name]), name


def indices_of_step(images, epoch, step):
    from waferlens.training import schedule

    num_images = len(runs.feeds_of(images)[0])
    return list(schedule.epoch_batches(num_images, epoch, 7, tiny.training_options()))[step]


def test_a_validation_loss_that_is_not_finite_is_refused(fabric, images, tmp_path):
    training, validation = runs.feeds_of(images, PoisonedFeed)
    validation.poisoned = 0
    with pytest.raises(NonFiniteLossError, match="validation"):
        runs.run(fabric, images, tmp_path, tiny.training_options(), feeds=(training, validation))


def test_a_learning_rate_that_explodes_is_told_and_not_saved(fabric, images, tmp_path):
    options = tiny.training_options(epochs=4, learning_rate=1e25, gradient_clip=1e25, checkpoint_steps=1)
    with pytest.raises(NonFiniteLossError):
        runs.run(fabric, images, tmp_path, options)


def test_training_stops_when_nothing_has_got_better_for_patience_epochs(fabric, images, tmp_path):
    # A rate at which the network soon wanders about.
    options = tiny.training_options(
        epochs=30, patience=2, kl_anneal_epochs=0, learning_rate=0.1, final_learning_rate=0.1
    )
    _, history = runs.run(fabric, images, tmp_path, options)
    losses = [epoch["validation_reconstruction"] for epoch in history]
    best = int(np.argmin(losses))
    assert len(history) < 30
    assert len(history) == best + 1 + options.patience


def test_the_weights_of_the_best_epoch_are_kept(fabric, images, tmp_path):
    options = tiny.training_options(epochs=4, kl_anneal_epochs=0, learning_rate=0.3, final_learning_rate=0.3)
    feeds = runs.feeds_of(images)
    network, history = runs.run(fabric, images, tmp_path, options, feeds=feeds)
    best = min(epoch["validation_reconstruction"] for epoch in history)
    kept = validation_loss(fabric, ElboObjective(network), feeds[1], options)
    assert kept == pytest.approx(best, rel=1e-6)
    assert not network.training


def test_epochs_of_the_annealing_do_not_compete(fabric, images, tmp_path):
    options = tiny.training_options(epochs=4, kl_anneal_epochs=3)
    runs.run(fabric, images, tmp_path, options)
    state, _, _ = load_checkpoint(tmp_path, runs.RUN)
    assert state.best_epoch == 3


@pytest.mark.parametrize(
    ("losses", "annealing", "epochs", "best"),
    [
        ([5, 1, 4, 3, 3.5], 2, 10, 3),
        ([5, 1, 4, 3, 3.5], 0, 10, 1),
        ([5, 1], 10, 50, 1),
        ([1, 2, 3], 10, 3, 2),
        ([4, 4, 4], 1, 3, 1),
    ],
)
def test_the_best_epoch_is_the_first_lowest_of_those_with_the_full_beta(losses, annealing, epochs, best):
    options = tiny.training_options(epochs=epochs, kl_anneal_epochs=annealing)
    assert best_epoch([{"validation_reconstruction": loss} for loss in losses], options) == best


def test_the_checkpoint_of_other_data_or_options_is_refused(fabric, images, tmp_path):
    runs.run(fabric, images, tmp_path, tiny.training_options(epochs=1))
    with pytest.raises(TrainingError, match="another run"):
        runs.run(fabric, images, tmp_path, tiny.training_options(epochs=1), name="s" * 64)


def test_the_watcher_is_told_every_step(fabric, images, tmp_path):
    told = []
    runs.run(fabric, images, tmp_path, tiny.training_options(), watch=told.append)
    assert [(progress.epoch, progress.step) for progress in told] == [(e, s) for e in range(2) for s in (1, 2, 3)]
    assert math.isnan(told[0].validation)
    assert math.isfinite(told[-1].validation)
    assert {progress.steps_an_epoch for progress in told} == {3}


def test_validation_counts_every_image_once_whatever_the_batches(fabric, images):
    objective, (_, validation) = ElboObjective(tiny.network()), runs.feeds_of(images)
    losses = [
        validation_loss(fabric, objective, validation, tiny.training_options(batch_size=size)) for size in (3, 16)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("room", [1 << 30, 0])
def test_a_frozen_backbone_looks_at_held_out_images_once_while_there_is_room(fabric, images, monkeypatch, room):
    monkeypatch.setattr(objective_module, "_KEEP_BYTES", room)
    torch.manual_seed(0)
    network = FeatureVAE(FeatureVAEOptions(width=8, squeezed=4))
    looks = []
    network.backbone.register_forward_hook(lambda *_: looks.append(1))
    (_, validation), options = runs.feeds_of(images), tiny.training_options(batch_size=3)
    expected = validation_loss(fabric, ElboObjective(network), validation, options)
    batches = len(looks)
    remembered = RememberedFeatures(network)
    for _ in range(3):
        assert validation_loss(fabric, ElboObjective(network), validation, options, remembered) == expected
    assert len(looks) == batches * (2 if room else 4)
    assert batches > 1


def test_precision_is_what_was_asked_for_and_auto_depends_on_the_processor_alone():
    assert resolve_precision("fp32") == "32-true"
    assert resolve_precision("bf16") == "bf16-mixed"
    assert resolve_precision("auto") == resolve_precision("auto")
    assert start_fabric(tiny.training_options()).world_size == 1


@pytest.mark.parametrize(
    ("vendor", "flags", "gains"),
    [
        ("GenuineIntel", "avx512f avx512_bf16 amx_bf16 amx_tile", True),
        ("GenuineIntel", "avx512f avx512_bf16", False),
        ("GenuineIntel", "avx512f", False),
        ("AuthenticAMD", "avx512f avx512_bf16", True),
        ("AuthenticAMD", "avx2", False),
    ],
)
def test_bf16_is_for_processors_that_gain_by_it(vendor, flags, gains):
    assert multiplies_bf16(f"vendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n") is gains

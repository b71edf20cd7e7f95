"""What varies with the step is a pure function of the step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from waferlens.training import schedule
from waferlens.training.options import TrainingOptions


def test_the_learning_rate_falls_along_a_cosine_between_its_two_ends():
    options = TrainingOptions()
    rates = [schedule.learning_rate(step, 101, options) for step in range(101)]
    assert rates[0] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-5)
    assert rates[50] == pytest.approx((1e-3 + 1e-5) / 2)
    assert rates == sorted(rates, reverse=True)


def test_a_run_of_one_step_starts_at_the_first_rate():
    assert schedule.learning_rate(0, 1, TrainingOptions()) == pytest.approx(1e-3)


def test_beta_rises_linearly_over_the_annealing_epochs_and_stays():
    options = TrainingOptions(beta=0.5, kl_anneal_epochs=10)
    betas = [schedule.beta(step, 20, options) for step in range(400)]
    assert betas[0] == 0.0
    assert betas[100] == pytest.approx(0.25)
    assert set(betas[200:]) == {0.5}
    np.testing.assert_allclose(np.diff(betas[:201]), 0.5 / 200)


def test_without_annealing_beta_is_full_from_the_first_step():
    assert schedule.beta(0, 7, TrainingOptions(kl_anneal_epochs=0)) == 1.0


@given(st.integers(1, 90), st.integers(0, 5), st.integers(1, 40), st.integers(1, 200))
def test_an_epoch_draws_every_image_equally_often_give_or_take_one(num_images, epoch, batch_size, draws):
    options = TrainingOptions(batch_size=batch_size, min_epoch_images=draws)
    batches = list(schedule.epoch_batches(num_images, epoch, 3, options))
    assert len(batches) == schedule.steps_per_epoch(num_images, options)
    assert {len(batch) for batch in batches} == {batch_size}
    counts = np.bincount(np.concatenate(batches), minlength=num_images)
    assert counts.max() - counts.min() <= 1


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else():
    options = TrainingOptions(batch_size=8, min_epoch_images=1)

    def order(seed, epoch):
        return np.concatenate(list(schedule.epoch_batches(40, epoch, seed, options))).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_a_small_set_is_drawn_several_times_an_epoch():
    assert schedule.steps_per_epoch(100, TrainingOptions()) == 16
    assert schedule.steps_per_epoch(3200, TrainingOptions()) == 100


def test_named_seeds_are_repeatable_and_apart():
    seeds = {schedule.seed_for(seed, use, n) for seed in range(5) for use in ("order", "step") for n in range(20)}
    assert len(seeds) == 200
    assert schedule.seed_for(1, "order", 3) == schedule.seed_for(1, "order", 3)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    "told",
    [
        {"learning_rate": 1e-5, "final_learning_rate": 1e-3},
        {"batch_size": 9, "devices": 2},
        {"epochs": 0},
        {"validation_fraction": 1.0},
        {"epoch": 3},
    ],
)
def test_options_that_cannot_be_followed_are_refused(told):
    with pytest.raises(ValidationError):
        TrainingOptions(**told)


def test_the_defaults_are_the_case_studys():
    options = TrainingOptions()
    assert (options.batch_size, options.epochs, options.gradient_clip, options.patience) == (32, 50, 1.0, 10)
    assert (options.weight_decay, options.beta, options.kl_anneal_epochs) == (1e-5, 1.0, 10)

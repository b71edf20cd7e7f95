"""A checkpoint is the old state or the new one, of this run, and never code."""

import pickle

import pytest
import torch

from waferlens.errors import TrainingError
from waferlens.training.checkpoint import FILE_NAME, TrainingState, load_checkpoint, save_checkpoint

RUN = "a" * 64


def saved(folder, **told):
    state = TrainingState(
        epoch=3, step=7, sums=[1.5, 2.5], history=[{"epoch": 0, "kl": 2.0}], best_epoch=2,
        best_weights={"w": torch.ones(3)}, **told,
    )  # fmt: skip
    parameter = torch.nn.Parameter(torch.arange(4.0))
    optimiser = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones(4)
    optimiser.step()
    save_checkpoint(folder, state, {"p": parameter.detach()}, optimiser.state_dict(), RUN)
    return state, parameter, optimiser


def test_what_was_saved_comes_back(tmp_path):
    state, parameter, optimiser = saved(tmp_path / "new" / "folder")
    loaded, weights, optimiser_state = load_checkpoint(tmp_path / "new" / "folder", RUN)
    assert (loaded.epoch, loaded.step, loaded.sums, loaded.history) == (3, 7, [1.5, 2.5], state.history)
    assert loaded.best_epoch == 2
    assert torch.equal(loaded.best_weights["w"], torch.ones(3))
    assert torch.equal(weights["p"], parameter.detach())
    exp_avg = optimiser.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(optimiser_state["state"][0]["exp_avg"], exp_avg)


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path):
    assert load_checkpoint(tmp_path, RUN) is None


def test_the_checkpoint_of_another_run_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(TrainingError, match="another run") as error:
        load_checkpoint(tmp_path, "b" * 64)
    assert "aaaaaaaaaaaa" in str(error.value)


def test_a_write_that_was_cut_off_leaves_the_old_state(tmp_path):
    saved(tmp_path)
    (tmp_path / (FILE_NAME + ".tmp")).write_bytes(b"half a checkpo")
    loaded, _, _ = load_checkpoint(tmp_path, RUN)
    assert loaded.epoch == 3


def test_saving_replaces_the_old_state_and_leaves_one_file(tmp_path):
    saved(tmp_path)
    saved(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


class Malicious:
    """What a hostile checkpoint would try."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path):
    ran = tmp_path / "ran"
    torch.save({"run": RUN, "state": Malicious(str(ran)), "weights": {}, "optimiser": {}}, tmp_path / FILE_NAME)
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(tmp_path, RUN)
    assert not ran.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps({"a": 1}), b"PK\x03\x04torn"])
def test_a_damaged_checkpoint_is_an_error_of_one_line_that_names_the_file(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(TrainingError, match=FILE_NAME) as error:
        load_checkpoint(tmp_path, RUN)
    assert "\n" not in str(error.value)

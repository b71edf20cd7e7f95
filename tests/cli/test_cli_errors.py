"""What goes wrong is one line on standard error that says what, and never a traceback."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from cli_examples import COMMAND


@pytest.fixture
def contaminated(fab, tmp_path):
    """A test set that holds an image which the bundle was trained on, under another name."""
    root = tmp_path / "contaminated"
    shutil.copytree(fab / "novel" / "test", root / "test")
    shutil.copy(min((fab / "train" / "good").iterdir()), root / "test" / "good" / "new.png")
    return root


@pytest.mark.parametrize("command", ["train", "explore", "baseline"])
def test_a_missing_data_set(here, tmp_path, command):
    ran = here(command, tmp_path / "nowhere", "--out", tmp_path / "out")
    assert "nowhere: data set not found" in ran.error
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images(here, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no images" in here("train", tmp_path / "empty", "--out", tmp_path / "out").error


def test_a_data_set_of_one_image(here, fab, tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copy(min((fab / "train" / "good").iterdir()), folder)
    assert "too few images" in here("train", folder, "--out", tmp_path / "out").error


def test_training_where_there_are_test_images_alone(here, fab, tmp_path):
    assert "no images to learn from" in here("train", fab / "novel", "--out", tmp_path / "out").error


@pytest.mark.parametrize("command", ["evaluate", "baseline"])
def test_evaluating_a_folder_of_normals(here, bundle, fab, tmp_path, command):
    told = [bundle] if command == "evaluate" else []
    ran = here(command, *told, fab / "train" / "good", "--out", tmp_path)
    assert "no images to evaluate on" in ran.error


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("learning_rate = 1", "unknown entry learning_rate"),
        ("[training]\nepochs = 0", "training.epochs"),
        ("[training]\nbatch_size = 8\ndevices = 3", "batch_size 8 must be a multiple of devices 3"),
        ("epochs = ", "is not TOML"),
    ],
)
def test_a_recipe_that_does_not_hold(here, fab, tmp_path, content, said):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(content, encoding="utf-8")
    error = here("train", fab, "--recipe", recipe, "--out", tmp_path / "out").error
    assert said in error
    assert "recipe.toml" in error


def test_a_missing_recipe(here, fab, tmp_path):
    assert (
        "cannot be read" in here("train", fab, "--recipe", tmp_path / "no.toml", "--out", tmp_path / "out").error
    )


def test_a_file_where_the_bundle_should_go_is_found_before_training(here, fab, recipe, tmp_path):
    (tmp_path / "file").write_text("")
    ran = here("train", fab, "--recipe", recipe, "--out", tmp_path / "file")
    assert "file" in ran.error
    assert "epoch" not in ran.err


@pytest.mark.parametrize("command", ["inspect", "evaluate", "bench", "export"])
def test_an_altered_bundle_is_not_used(here, altered, fab, normal_image, tmp_path, command):
    told = {"inspect": [normal_image], "evaluate": [fab, "--out", tmp_path / "out"]}.get(command, [])
    before = {path.name: path.stat().st_mtime_ns for path in altered.rglob("*")}
    ran = here(command, altered, *told)
    assert "altered: model.safetensors" in ran.error
    assert ran.out == ""
    assert {path.name: path.stat().st_mtime_ns for path in altered.rglob("*")} == before


def test_a_folder_that_is_no_bundle(here, fab, normal_image):
    assert "is not a bundle" in here("inspect", fab / "train", normal_image).error


def test_an_unknown_engine(here, bundle, normal_image):
    assert "openvino" in here("inspect", bundle, normal_image, "--engine", "tensorrt").error


def test_a_test_image_that_was_trained_on(here, bundle, contaminated, tmp_path):
    error = here("evaluate", bundle, contaminated, "--out", tmp_path / "out").error
    assert "good/new.png" in error
    assert not (tmp_path / "out").exists()


def test_an_image_in_training_and_test_stops_training(here, fab, recipe, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(fab / "train", root / "train")
    (root / "test" / "good").mkdir(parents=True)
    shutil.copy(min((fab / "train" / "good").iterdir()), root / "test" / "good" / "new.png")
    error = here("train", root, "--recipe", recipe, "--out", tmp_path / "out").error
    assert "the same image stands in two parts" in error


def test_a_torn_training_image_is_named_and_not_skipped(here, fab, recipe, torn_image, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(fab / "train" / "good", root)
    shutil.copy(torn_image, root)
    assert "torn.png" in here("train", root, "--recipe", recipe, "--out", tmp_path / "out").error


def test_a_worker_count_that_is_none(environment, fab):
    done = subprocess.run(
        [str(COMMAND), "data", "check", str(fab)],
        env=environment | {"WAFERLENS_WORKERS": "many"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "WAFERLENS_WORKERS" in done.stderr


def test_words_in_brackets_are_shown_as_they_are(here, tmp_path):
    assert "lot [7] [/red]: data" in here("train", tmp_path / "lot [7] [" / "red]", "--out", tmp_path).error

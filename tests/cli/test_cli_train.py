"""``train``: from a folder to a bundle that is complete, repeatable, and survives a kill."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time

import pytest
from cli_examples import COMMAND, SEED, write_recipe

import waferlens.bundle
from waferlens.bundle.manifest import sha256_of, verify_bundle

DOCUMENTED = set(re.findall(r"^[├└]── ([\w.]+)", waferlens.bundle.__doc__ or "", flags=re.MULTILINE))


def test_a_bundle_holds_every_file_that_is_documented_and_no_other(bundle):
    present = {path.name for path in bundle.iterdir() if not path.name.startswith(".")}
    assert len(DOCUMENTED) > 10
    assert present == DOCUMENTED - {"manifest.sig"}  # that comes with `waferlens bundle sign`


def test_every_file_of_a_bundle_stands_in_its_manifest(bundle):
    listed = verify_bundle(bundle)["files"]
    assert {name.split("/")[0] for name in listed} >= DOCUMENTED - {"manifest.json", "manifest.sig"}


def test_a_bundle_says_with_which_seed_and_recipe_it_was_made(bundle):
    config = json.loads((bundle / "config.json").read_text())
    assert config["seed"] == int(SEED)
    assert config["recipe"]["name"] == "tiny"
    assert config["recipe"]["network"]["channels"] == [4, 4, 8, 8]


def test_every_engine_passed_the_gate(bundle):
    engines = {entry["engine"]: entry for entry in json.loads((bundle / "parity.json").read_text())["engines"]}
    assert set(engines) == {"torchscript", "onnxruntime", "openvino", "openvino-int8"}
    for name in ("torchscript", "onnxruntime", "openvino"):
        assert engines[name]["passed"]
        assert engines[name]["max_difference"] <= 1e-4
        assert engines[name]["num_other_decisions"] == 0


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(waferlens, fab, recipe, bundle, tmp_path):
    same = waferlens("train", fab, "--recipe", recipe, "--out", tmp_path / "same", "--seed", SEED)
    assert same.code == 0, same.err
    for name in ("model.safetensors", "calibration.safetensors", "thresholds.json", "split.json"):
        assert sha256_of(tmp_path / "same" / name) == sha256_of(bundle / name), name


def test_a_finished_run_is_not_done_again(here, fab, recipe, bundle):
    before = {path: path.stat().st_mtime_ns for path in bundle.rglob("*")}
    ran = here("train", fab, "--recipe", recipe, "--out", bundle, "--seed", SEED)
    assert ran.code == 0, ran.err
    assert {path: path.stat().st_mtime_ns for path in bundle.rglob("*")} == before


def test_the_bundle_of_another_run_is_not_overwritten(here, fab, recipe, bundle):
    before = verify_bundle(bundle)
    error = here("train", fab, "--recipe", recipe, "--out", bundle, "--seed", "4").error
    assert "another run" in error
    assert verify_bundle(bundle) == before


def test_other_thresholds_are_another_run(here, fab, bundle, tmp_path):
    """Else a changed limit between PASS and REJECT would be taken for done and never come into force."""
    told = '[thresholds]\npolicy = "fixed"\nreview_threshold = 1.0\nreject_threshold = 2.0\n'
    recipe = write_recipe(tmp_path / "fixed.toml")
    recipe.write_text(recipe.read_text() + told, encoding="utf-8")
    ran = here("train", fab, "--recipe", recipe, "--out", bundle, "--seed", SEED)
    assert "another run" in ran.error


@pytest.mark.slow
def test_another_seed_gives_other_weights(waferlens, fab, recipe, bundle, tmp_path):
    other = waferlens("train", fab, "--recipe", recipe, "--out", tmp_path / "other", "--seed", "4")
    assert other.code == 0, other.err
    assert sha256_of(tmp_path / "other" / "model.safetensors") != sha256_of(bundle / "model.safetensors")


@pytest.mark.slow
def test_a_plain_folder_of_normals_needs_no_recipe(waferlens, fab, tmp_path):
    folder, bundle = tmp_path / "normals", tmp_path / "bundle"
    shutil.copytree(fab / "train" / "good", folder)
    trained = waferlens("train", folder, "--out", bundle, "--epochs", "1", "--damaged", "32")
    assert trained.code == 0, trained.err
    assert json.loads((bundle / "config.json").read_text())["recipe"]["name"] == "default"
    inspected = waferlens("inspect", bundle, *sorted((fab / "test" / "good").iterdir())[:2], "--json")
    assert inspected.code == 0, inspected.err
    assert {json.loads(line)["decision"] for line in inspected.out.splitlines()} <= {"PASS", "REVIEW", "REJECT"}


def _listen_to_interrupts():
    """A shell starts what it puts in the background deaf to SIGINT, and so would be what the tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def long_run(environment, fab, tmp_path):
    """Arguments of a run of 12 epochs, by --out; and that run, begun and past its first checkpoint."""
    recipe = write_recipe(tmp_path / "longer.toml", epochs=12)

    def arguments(out):
        return ["train", str(fab), "--recipe", str(recipe), "--out", str(out), "--seed", SEED]

    def begun(out):
        running = subprocess.Popen(
            [str(COMMAND), *arguments(out)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_listen_to_interrupts,
        )
        while not (out / ".checkpoints" / "checkpoint.pt").exists() and running.poll() is None:
            time.sleep(0.01)
        return running

    return arguments, begun


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_weights_of_one_that_was_not(waferlens, long_run, tmp_path):
    arguments, begun = long_run
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert waferlens(*arguments(whole)).code == 0
    running = begun(killed)
    running.kill()
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    assert (killed / ".checkpoints" / "checkpoint.pt").exists()
    assert not (killed / "model.safetensors").exists()

    resumed = waferlens(*arguments(killed))
    assert resumed.code == 0, resumed.err
    for name in ("model.safetensors", "calibration.safetensors", "thresholds.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    verify_bundle(killed)


@pytest.mark.slow
def test_a_run_that_is_interrupted_says_how_to_go_on(long_run, tmp_path):
    running = long_run[1](tmp_path / "out")
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted; run the same command again" in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_two_processes_share_the_work_and_write_one_good_bundle(waferlens, fab, recipe, normal_image, tmp_path):
    bundle = tmp_path / "bundle"
    trained = waferlens("train", fab, "--recipe", recipe, "--out", bundle, "--seed", SEED, "--devices", "2")
    assert trained.code == 0, trained.err
    verify_bundle(bundle)
    assert len(json.loads((bundle / "history.json").read_text())) == 2
    inspected = waferlens("inspect", bundle, normal_image, "--json")
    assert inspected.code == 0, inspected.err

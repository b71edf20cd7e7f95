"""``data synth`` and ``data check``: data made by seed, and a doctor with an exit code."""

from __future__ import annotations

import json
import shutil

import pytest


def test_a_sound_data_set_can_be_used(here, fab):
    ran = here("data", "check", fab, "--json")
    report = json.loads(ran.out)
    assert ran.code == 0
    assert report["ok"]
    assert report["problems"] == []
    assert report["counts"]["train"] == {"normal": 24}
    assert report["counts"]["test"]["scratch"] == 2


def test_a_manifest_is_a_data_set(here, fab):
    assert here("data", "check", fab / "manifest.csv", "--json").code == 0
    assert "can be used" in here("data", "check", fab / "manifest.csv").out


def test_a_manifest_says_what_is_for_training_and_what_for_testing(here, fab, recipe, tmp_path):
    ran = here("explore", fab / "manifest.csv", "--recipe", recipe, "--out", tmp_path)
    assert ran.code == 0, ran.err
    assert "24 normal and 16 test images" in ran.err


@pytest.mark.parametrize("harm", ["torn", "twice", "mask"])
def test_a_spoilt_data_set_is_refused_with_what_is_wrong(here, fab, torn_image, normal_image, tmp_path, harm):
    root = tmp_path / "data"
    shutil.copytree(fab / "test", root / "test")
    shutil.copytree(fab / "ground_truth", root / "ground_truth")
    shutil.copytree(fab / "train", root / "train")
    if harm == "torn":
        shutil.copy(torn_image, root / "train" / "good")
    elif harm == "twice":
        shutil.copy(normal_image, root / "train" / "good" / "twice.png")
    else:
        min((root / "ground_truth" / "scratch").iterdir()).unlink()
    ran = here("data", "check", root, "--json")
    report = json.loads(ran.out)
    assert ran.code == 1
    assert not report["ok"]
    assert any(harm in problem for problem in report["problems"])
    assert "cannot be used" in here("data", "check", root).out


def test_a_missing_folder_is_a_report_with_one_problem(here, tmp_path):
    ran = here("data", "check", tmp_path / "nowhere", "--json")
    assert ran.code == 1
    assert len(json.loads(ran.out)["problems"]) == 1


def test_the_same_seed_makes_the_same_files(here, tmp_path):
    counts = ("--train", 2, "--test-normal", 1, "--per-known", 1, "--per-novel", 0, "--seed", 7)
    for name in ("a", "b"):
        assert here("data", "synth", tmp_path / name, *counts).code == 0
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert files
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_synthetic_data_does_not_overwrite_what_is_there(here, fab):
    before = sorted(path.name for path in fab.rglob("*"))
    ran = here("data", "synth", fab, "--train", 1, "--test-normal", 0, "--per-known", 0, "--per-novel", 0)
    assert ran.error
    assert sorted(path.name for path in fab.rglob("*")) == before


def test_an_unknown_preset_is_named(here, tmp_path):
    assert "demo" in here("data", "synth", tmp_path / "out", "--preset", "huge").error

"""``benchmark``: every detector and baseline over seeds, kept, resumed, and on few normals."""

from __future__ import annotations

import csv
import json

import pytest
from cli_examples import write_recipe

from waferlens.wiring.ablation import STEPS

METHODS = {"pixel-vae", "feature-gaussian", "feature-neighbour", "texture-svm"}


@pytest.fixture(scope="module")
def benchmarked(waferlens, fab, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmarks") / "out"
    ran = waferlens("benchmark", fab, "--recipe", recipe, "--seeds", 2, "--out", out, "--json")
    assert ran.code == 0, ran.err
    return out, ran


def test_one_table_holds_every_method_with_spread_interval_and_cost(benchmarked):
    out, ran = benchmarked
    table = json.loads(ran.out)
    content = json.loads((out / "benchmark.json").read_text())
    assert content["table"] == table
    assert set(table) >= METHODS
    assert any(name.startswith("pca-k") for name in table)
    for row in table.values():
        assert row["image_auroc"]["num_seeds"] == content["num_seeds"] == 2
        assert row["image_auroc"]["low"] <= row["image_auroc"]["mean"] <= row["image_auroc"]["high"]
    # A score with a step left out is no method of its own: it costs what the detector costs.
    assert {f"pixel-vae, {step}" for step in STEPS} < set(table)
    for row in (row for method, row in table.items() if ", " not in method):
        assert min(row["fit_seconds"]["least"], row["latency_ms"]["least"]) > 0
    assert next(iter(table)) == "pixel-vae"
    lines = (out / "benchmark.md").read_text().splitlines()
    assert len(lines) == 2 + len(table)


def test_seeds_draw_splits_of_their_own(benchmarked):
    out, _ = benchmarked
    splits = [json.loads((out / "tiny" / f"bundle-{seed}" / "split.json").read_text()) for seed in (0, 1)]
    assert splits[0]["fingerprint"] != splits[1]["fingerprint"]


def test_finished_runs_are_kept_and_another_recipe_is_another_run(here, benchmarked, fab, recipe, tmp_path):
    out, first = benchmarked
    written = {path: path.stat().st_mtime_ns for path in out.glob("tiny/*/manifest.json")}
    assert len(written) == 2
    again = here("benchmark", fab, "--recipe", recipe, "--seeds", 2, "--out", out, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out) == json.loads(first.out)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    other = here(
        "benchmark", fab, "--recipe", write_recipe(tmp_path / "other.toml", epochs=1), "--seeds", 1, "--out", out
    )
    assert "holds a finished bundle of another run" in other.error


def test_few_normals_are_drawn_by_the_seed_and_the_test_set_stays(here, fab, recipe, tmp_path):
    ran = here("benchmark", fab, "--recipe", recipe, "--seeds", 1, "--normals", 20, "--out", tmp_path, "--json")
    assert ran.code == 0, ran.err
    with (tmp_path / "normals-0.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["split"] == "train" for row in rows) == 20
    assert sum(row["split"] == "test" for row in rows) == 16
    assert sum(bool(row["mask"]) for row in rows) == 10
    split = json.loads((tmp_path / "tiny" / "bundle-0" / "split.json").read_text())
    assert len(split["images"]) == 20
    assert json.loads((tmp_path / "benchmark.json").read_text())["data"]["num_normals"] == 20


def test_what_cannot_be_compared_is_refused(here, fab, recipe, tmp_path):
    twice = here("benchmark", fab, "--recipe", recipe, "--recipe", recipe, "--out", tmp_path)
    assert "each with a name of its own" in twice.error
    many = here("benchmark", fab, "--recipe", recipe, "--normals", 1000, "--out", tmp_path)
    assert "too few normal images; expected 1000 or more; found 24" in many.error

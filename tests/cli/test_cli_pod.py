"""``pod``, alone and as a section of the report: every kind measured, written, drawn and printed."""

from __future__ import annotations

import json
import shutil

import pytest

from waferlens.images.planting import PlantKind


@pytest.fixture
def measured(here, bundle, fab, tmp_path):
    """Two normal images: what was printed and what was written."""

    def run(*more, data=fab):
        ran = here("pod", bundle, data, "--out", tmp_path / "out", "--images", 2, "--threshold", "reject", *more)
        assert ran.code == 0, ran.err
        return ran.out, json.loads((tmp_path / "out" / "pod.json").read_text())

    return run


def test_every_kind_is_measured_written_drawn_and_printed(measured, bundle, tmp_path):
    out, content = measured()
    assert content["num_normals"] == 2
    assert content["engine"] == json.loads((bundle / "parity.json").read_text())["default_engine"]
    assert content["provenance"] == json.loads((bundle / "manifest.json").read_text())["provenance"]
    assert content["threshold"] == json.loads((bundle / "thresholds.json").read_text())["reject"]
    assert "never saw" in content["source"]
    assert set(content["false_call_rate"]) == {"value", "low", "high"}
    assert [series["kind"] for series in content["series"]] == ["blotch"] * 3 + ["scratch"] * 3 + list(PlantKind)[
        2:
    ]
    assert (tmp_path / "out" / "pod.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "out" / "pod.svg").read_bytes()
    for word in (*PlantKind, "a50", "a90", "a90/95", "images", "false calls"):
        assert word in out


def test_the_same_seed_gives_the_same_figures(measured):
    (printed, first), (_, again) = measured("--json", "--seed", 1), measured("--json", "--seed", 1)
    assert json.loads(printed) == first
    assert (first["seed"], first["series"]) == (1, again["series"])


def test_without_normal_test_images_the_held_out_ones_are_used_and_said_to_flatter(measured, fab, tmp_path):
    shutil.copytree(fab / "train", tmp_path / "data" / "train")
    _, content = measured(data=tmp_path / "data")
    assert "held-out" in content["source"]
    assert "flattering" in content["source"]


def test_normal_images_that_are_new_to_the_bundle_are_preferred(measured, fab, tmp_path):
    shutil.copytree(fab / "train", tmp_path / "data")
    shutil.copy(min((fab / "test" / "good").iterdir()), tmp_path / "data" / "good" / "new.png")
    _, content = measured(data=tmp_path / "data")
    assert content["num_normals"] == 1
    assert "never saw" in content["source"]


def test_images_that_were_trained_on_are_refused(here, bundle, fab, tmp_path):
    learned = json.loads((bundle / "split.json").read_text())["images"]
    name = next(image["name"] for image in learned if image["part"] == "train")
    (tmp_path / "normals").mkdir()
    shutil.copy(fab / name, tmp_path / "normals")
    ran = here("pod", bundle, tmp_path / "normals", "--out", tmp_path / "out")
    assert "found 1 images, all of its training part" in ran.error
    (tmp_path / "data" / "test" / "good").mkdir(parents=True)
    shutil.copy(fab / name, tmp_path / "data" / "test" / "good" / "learned.png")
    ran = here("pod", bundle, tmp_path / "data", "--out", tmp_path / "out")
    assert "two parts" in ran.error
    assert not (tmp_path / "out").exists()


def test_the_report_has_the_section_when_it_was_asked_for(here, bundle, fab, tmp_path):
    for folder in ("test/good", "test/bridge"):
        shutil.copytree(fab / folder, tmp_path / "data" / folder)
    ran = here("evaluate", bundle, tmp_path / "data", "--out", tmp_path, "--no-baselines", "--pod", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["pod"]
    assert {series["kind"] for series in found["series"]} == set(PlantKind)
    page = (tmp_path / "report.html").read_text()
    assert '<section id="pod">' in page
    assert '<a href="#pod">' in page


def test_a_test_set_without_normal_images_is_evaluated_without_it_and_with_a_word(here, bundle, fab, tmp_path):
    for folder in ("train", "test/bridge"):
        shutil.copytree(fab / folder, tmp_path / "data" / folder)
    ran = here("evaluate", bundle, tmp_path / "data", "--out", tmp_path, "--no-baselines", "--pod", "--json")
    assert ran.code == 0, ran.err
    assert "no probability of detection: nothing to plant on; expected normal test images" in ran.err
    assert json.loads(ran.out)["pod"] is None
    assert '<section id="pod">' not in (tmp_path / "report.html").read_text()

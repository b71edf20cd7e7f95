"""``robustness``, alone and as a section of the report: every level measured, written, drawn and marked."""

from __future__ import annotations

import json
import shutil

import pytest

from waferlens.images.disturbances import DISTURBANCES


@pytest.fixture
def measured(here, bundle, fab, tmp_path):
    """Two images of each class, at every level: what was printed and what was written."""

    def run(*more):
        ran = here("robustness", bundle, fab, "--out", tmp_path / "out", "--images", 2, *more)
        assert ran.code == 0, ran.err
        return ran.out, json.loads((tmp_path / "out" / "robustness.json").read_text())

    return run


def test_every_level_is_measured_written_drawn_and_printed_and_what_costs_is_marked(measured, bundle, tmp_path):
    out, content = measured()
    assert content["counts"] == {"normal": 2, "defective": 2}
    assert content["engine"] == json.loads((bundle / "parity.json").read_text())["default_engine"]
    assert content["provenance"] == json.loads((bundle / "manifest.json").read_text())["provenance"]
    thresholds = json.loads((bundle / "thresholds.json").read_text())
    assert content["review_threshold"] == thresholds["review"]
    listed = {key: [level["name"] for level in kind["levels"]] for key, kind in content["disturbances"].items()}
    assert listed == {kind.key: [level.name for level in kind.levels] for kind in DISTURBANCES}
    assert (tmp_path / "out" / "robustness.png").read_bytes().startswith(b"\x89PNG")
    for kind in DISTURBANCES:
        assert kind.title.split()[0] in out
    num_costly = sum(len(kind["costly_levels"]) for kind in content["disturbances"].values())
    assert out.count("COSTS") == num_costly + 1  # and the heading that says what the word means


def test_the_same_seed_gives_the_same_figures(measured):
    (printed, first), (_, again) = measured("--json", "--seed", 1), measured("--json", "--seed", 1)
    assert json.loads(printed) == first
    assert (first["seed"], first["disturbances"]) == (1, again["disturbances"])


def test_an_image_that_was_trained_on_is_refused(here, bundle, fab, tmp_path):
    shutil.copytree(fab / "test", tmp_path / "data" / "test")
    learned = json.loads((bundle / "split.json").read_text())
    name = next(image["name"] for image in learned["images"] if image["part"] == "train")
    shutil.copy(fab / name, tmp_path / "data" / "test" / "good" / "learned.png")
    assert "two parts" in here("robustness", bundle, tmp_path / "data", "--out", tmp_path / "out").error
    assert not (tmp_path / "out").exists()


def test_the_report_has_the_section_when_it_was_asked_for(here, bundle, fab, tmp_path):
    for folder in ("good", "bridge"):
        (tmp_path / "data" / "test" / folder).mkdir(parents=True)
        for path in sorted((fab / "test" / folder).iterdir())[:2]:
            shutil.copy(path, tmp_path / "data" / "test" / folder)
    ran = here(
        "evaluate", bundle, tmp_path / "data", "--out", tmp_path, "--no-baselines", "--robustness", "--json"
    )
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["robustness"]
    assert set(found["disturbances"]) == {kind.key for kind in DISTURBANCES}
    page = (tmp_path / "report.html").read_text()
    assert '<section id="robustness">' in page
    assert '<a href="#robustness">' in page
    assert all(kind.title in page and kind.unit in page for kind in DISTURBANCES)

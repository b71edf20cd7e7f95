"""``evaluate`` and ``baseline``: the promised keys, a self-contained report, a word on what is missing."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from waferlens.wiring.ablation import BY_BOTH, STEPS

FIGURES = ("image_auroc", "image_auprc", "fnr_at_fpr5", "pixel_auroc", "aupro")
KNOWN = {"scratch", "particle", "pattern_shift", "bridge", "open"}
FETCHING = {"src", "srcset", "href", "data", "action", "poster", "background", "xlink:href"}


def finite_estimate(figure):
    return set(figure) == {"value", "low", "high"} and figure["low"] <= figure["value"] <= figure["high"]


class References(HTMLParser):
    """Every attribute of a page that makes a browser fetch something, and its style sheets."""

    def __init__(self, page):
        super().__init__()
        self.fetched, self.styles, self._in_style = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._in_style = tag == "style"
        self.fetched += [value for name, value in attrs if name in FETCHING]
        self.styles += [value for name, value in attrs if name == "style"]

    def handle_data(self, data):
        if self._in_style:
            self.styles.append(data)


@pytest.fixture(scope="module")
def evaluated(waferlens, bundle, fab, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports") / "known"
    ran = waferlens("evaluate", bundle, fab, "--out", out)
    assert ran.code == 0, ran.err
    return out


@pytest.fixture(scope="module")
def metrics(evaluated):
    return json.loads((evaluated / "metrics.json").read_text())


def test_both_scores_have_the_five_figures_with_intervals(metrics):
    for score in ("score", "reconstruction_error"):
        assert set(metrics[score]) >= set(FIGURES)
        assert all(finite_estimate(metrics[score][figure]) for figure in FIGURES)


def test_metrics_name_every_defect_type_and_count_the_parameters(metrics, bundle):
    assert set(metrics["per_defect_type"]) == KNOWN
    config = json.loads((bundle / "config.json").read_text())
    assert metrics["num_parameters"] == config["num_parameters"] > 0


def test_metrics_say_which_bundle_on_which_data(metrics, bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert metrics["provenance"] == manifest["provenance"]
    assert metrics["engine"] == json.loads((bundle / "parity.json").read_text())["default_engine"]


def test_every_type_is_held_out_and_the_worst_is_named_in_the_report(metrics, evaluated):
    novel = metrics["novel_defects"]
    assert set(novel["types"]) == KNOWN
    assert novel["worst_type"] == min(novel["types"], key=lambda name: novel["types"][name]["auroc"]["value"])
    assert f"<strong>{novel['worst_type']}</strong> fares worst" in (evaluated / "report.html").read_text()
    assert set(novel["clusters"]) == {"latents", "heatmap"}


def test_each_step_of_the_score_is_left_out_once_and_shown(metrics, evaluated):
    assert tuple(metrics["ablation"]) == (*STEPS, BY_BOTH)
    for step in metrics["ablation"].values():
        assert step["counts"] == metrics["counts"]
        assert 0 <= step["score"]["image_auroc"]["value"] <= 1
        figures = (step["reconstruction_error"], metrics["reconstruction_error"])
        one, other = (dict(numbers(figure)) for figure in figures)
        assert one == pytest.approx(other, abs=1e-3)
    page = (evaluated / "report.html").read_text()
    assert "What each step of the score buys" in page
    assert all(f"<th>{step}</th>" in page for step in STEPS)


def test_the_report_fetches_nothing(evaluated):
    references = References((evaluated / "report.html").read_text())
    assert references.fetched
    assert [ref for ref in references.fetched if not ref.startswith(("#", "data:"))] == []
    styles = "".join(references.styles)
    assert "@import" not in styles
    assert "url(" not in styles


def test_the_report_holds_exploration_baselines_evaluation_and_errors(evaluated):
    page = (evaluated / "report.html").read_text()
    for heading in ("Exploration", "Baselines", "Evaluation", "Novel defects", "Error analysis"):
        assert f"<h2>{heading}</h2>" in page


def numbers(content, path=()):
    """Every number of nested mappings with its path, but for what a clock measured."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from numbers(value, (*path, name))
        elif isinstance(value, int | float) and name not in ("fit_seconds", "latency_ms"):
            yield (*path, name), value


def test_baselines_alone_give_the_figures_that_evaluate_puts_beside_the_detector(
    here, metrics, fab, recipe, tmp_path
):
    """Same images, same split, same calibration: whoever asks. Not to the last bit: another process may use
    another number of threads, and sums then round differently.
    """
    ran = here("baseline", fab, "--recipe", recipe, "--out", tmp_path, "--seed", "3", "--json")
    assert ran.code == 0, ran.err
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == json.loads(ran.out)
    found, expected = dict(numbers(written)), dict(numbers(metrics["baselines"]))
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert "texture-svm" in written
    assert any(name.startswith("pca-k") for name in written)
    for method in written.values():
        assert {"score", "reconstruction_error", "per_defect_type", "num_parameters"} <= set(method)
        assert all(set(method[score]) >= set(FIGURES) for score in ("score", "reconstruction_error"))
        assert method["fit_seconds"] > 0
        assert method["latency_ms"] > 0


def test_novel_types_are_evaluated_without_training_images_and_without_baselines(here, bundle, fab, tmp_path):
    ran = here("evaluate", bundle, fab / "novel", "--out", tmp_path, "--json")
    assert ran.code == 0, ran.err
    assert "Baselines were not fitted" in ran.err
    assert "Baselines were not fitted" in (tmp_path / "report.html").read_text()
    metrics = json.loads(ran.out)
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["baselines"] == metrics["ablation"] == {}
    assert set(metrics["per_defect_type"]) == {"residue", "void", "haze_ring"}


def test_exploring_writes_one_page_that_fetches_nothing(here, fab, recipe, tmp_path):
    ran = here("explore", fab, "--recipe", recipe, "--out", tmp_path)
    assert ran.code == 0, ran.err
    references = References((tmp_path / "exploration.html").read_text())
    assert [ref for ref in references.fetched if not ref.startswith(("#", "data:"))] == []

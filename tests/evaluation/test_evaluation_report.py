"""The report: self-contained, complete, reproducible, and honest about what the sample does not show."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from evaluation_examples import make_scored

from waferlens.errors import DataError
from waferlens.evaluation.exploration import ExplorationData
from waferlens.evaluation.plots_data import training_figure
from waferlens.evaluation.report import write_report
from waferlens.evaluation.report_content import ReportContent
from waferlens.evaluation.resampling import MetricOptions
from waferlens.evaluation.summary import metrics_for
from waferlens.evaluation.verdicts import Verdict, sample_rows, target_rows, verdict
from waferlens.evaluation.wording import number, percent, with_interval
from waferlens.records import Estimate

QUICK = MetricOptions(num_draws=200, num_pixel_draws=200)
VOID = {"meta", "img", "br", "link", "input", "hr"}
HISTORY = [
    {"epoch": e, "reconstruction": 100.0 / (e + 1), "kl": 5.0, "total": 100.0 / (e + 1) + 5.0} for e in range(5)
]


class Outline(HTMLParser):
    """Collects addresses, identifiers and text, and holds that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.addresses, self.ids, self.open, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.addresses += [attributes[key] for key in ("src", "href") if key in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "img":
            assert attributes["alt"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    outline = Outline()
    outline.feed(path.read_text(encoding="utf-8"))
    assert outline.open == []
    return outline


@pytest.fixture(scope="module")
def content(scored, training_images):
    weaker = make_scored(seed=3, method="weaker <PCA>")
    return ReportContent(
        title="Evaluation of an example",
        detector=scored,
        metrics={
            scored.method: metrics_for(scored, review_threshold=4.8, reject_threshold=5.5, options=QUICK),
            weaker.method: metrics_for(weaker, options=QUICK),
        },
        exploration=ExplorationData(
            train_images=training_images,
            test_images=scored.images,
            test_defective=scored.defective,
            test_masks=scored.masks,
            test_has_mask=scored.has_mask,
            test_defect_types=scored.defect_types,
        ),
        baselines={weaker.method: weaker},
        history=HISTORY,
        review_threshold=4.8,
        reject_threshold=5.5,
        baseline_notes=["k was cut to 24."],
        provenance={"Seed": "0"},
    )


@pytest.fixture(scope="module")
def report(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(content, path)
    return path


def test_the_file_asks_nothing_of_the_network(report):
    outline = read(report)
    assert all(address.startswith(("data:", "#")) for address in outline.addresses)
    assert not re.search(r"url\(|@import|<script", report.read_text(encoding="utf-8"))


def test_every_entry_of_the_contents_leads_to_a_section(report):
    outline = read(report)
    links = {address[1:] for address in outline.addresses if address.startswith("#")}
    assert links == set(outline.ids)
    assert {"exploration", "baselines", "training", "evaluation", "errors", "decision", "samples"} <= links


def test_every_failure_is_shown_by_name(report, content):
    text = " ".join(read(report).text)
    scores, defective = content.detector.scores, content.detector.defective
    for index in np.flatnonzero((scores < content.review_threshold) == defective):
        assert content.detector.names[index] in text


def test_names_from_the_data_are_escaped(report):
    assert "weaker &lt;PCA&gt;" in report.read_text(encoding="utf-8")


def test_the_same_content_gives_the_same_bytes(content, report, tmp_path):
    write_report(content, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == report.read_bytes()


def test_normals_alone_make_a_report(normals_only, training_images, tmp_path):
    content = ReportContent(
        title="Normals",
        detector=normals_only,
        metrics={normals_only.method: metrics_for(normals_only, options=QUICK)},
        exploration=ExplorationData(train_images=training_images),
    )
    write_report(content, tmp_path / "report.html")
    assert "not measured" in " ".join(read(tmp_path / "report.html").text)


def test_a_method_without_metrics_or_with_other_images_is_refused(content):
    with pytest.raises(DataError, match="no metrics"):
        replace(content, metrics={})
    other = replace(content.detector, names=tuple(f"x{i}" for i in range(content.detector.num_images)))
    with pytest.raises(DataError, match="other images"):
        replace(content, baselines={"weaker <PCA>": other})


def test_a_history_without_its_losses_is_refused():
    with pytest.raises(DataError, match="no kl"):
        training_figure([{"epoch": 0, "reconstruction": 1.0, "total": 1.0}])


@pytest.mark.parametrize(
    ("low", "value", "high", "expected"),
    [
        (0.96, 0.97, 0.99, Verdict.MET),
        (0.90, 0.97, 0.99, Verdict.NOT_SHOWN),
        (0.80, 0.90, 0.94, Verdict.NOT_MET),
        (np.nan, 0.97, np.nan, Verdict.MET),
        (np.nan, np.nan, np.nan, Verdict.NOT_MEASURED),
    ],
)
def test_a_target_is_met_only_by_the_whole_interval(low, value, high, expected):
    estimate = Estimate(value=value, low=low, high=high)
    assert verdict(estimate, 0.95, higher_is_better=True) == expected
    mirrored = Estimate(value=1 - value, low=1 - high, high=1 - low)
    assert verdict(mirrored, 0.05, higher_is_better=False) == expected


def test_no_miss_among_few_defects_does_not_show_a_low_miss_rate():
    perfect = make_scored(strengths=(30.0,) * 6)
    rows = {row.name: row for row in target_rows(metrics_for(perfect, options=QUICK))}
    assert rows["FNR at FPR 5 %"].measured.value == 0
    assert rows["FNR at FPR 5 %"].verdict == Verdict.NOT_SHOWN
    assert rows["Parameters"].verdict == Verdict.MET


def test_the_sample_table_ends_at_a_tenth_of_a_per_cent():
    last = sample_rows(200)[-1]
    assert (last.rate_bound, last.num_needed, last.enough) == (0.001, 2995, False)


def test_numbers_read_well():
    assert [number(x) for x in (0.12345, 0, 12.345, 1234.5, 0.00012, np.nan)] == [
        "0.123", "0.000", "12.3", "1,234", "0.00012", "–"
    ]  # fmt: skip
    assert percent(0.275) == "27.5\N{NO-BREAK SPACE}%"
    assert with_interval(Estimate(value=0.5, low=0.25, high=0.75)) == "0.500 [0.250, 0.750]"

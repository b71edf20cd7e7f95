"""The gate says which limit was missed; guards against poisoned data name the lot."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waferlens.errors import GateRefused, LifecycleError
from waferlens.lifecycle.gate import GateOptions, judge
from waferlens.lifecycle.poisoning import Audited, PoisonOptions, capped, require_clean, sample_for_audit, suspects
from waferlens.lifecycle.steps import Steps

OPTIONS = PoisonOptions()


def estimate(value, low=None, high=None):
    return {
        "value": value,
        "low": value - 0.01 if low is None else low,
        "high": value + 0.01 if high is None else high,
    }


def metrics(auroc=0.99, scratch=20, **told):
    usual = {
        "image_auroc": estimate(auroc),
        "image_auprc": estimate(0.95),
        "fnr_at_fpr5": estimate(0.0, 0.0, 0.02),
        "pixel_auroc": estimate(0.97),
    }
    types = {"scratch": scratch, "particle": 20}
    return {
        "score": usual | told,
        "num_parameters": 3_000_000,
        "per_defect_type": {
            name: {"num_images": 20, "detection_rates": {"review": estimate(k / 20), "fpr5": estimate(1.0)}}
            for name, k in types.items()
        },
    }


def failed(verdict):
    return [check.name for check in verdict.checks if not check.passed]


def test_a_good_model_passes_and_what_the_test_set_is_too_small_to_show_is_said():
    verdict = judge(metrics(), metrics(), 20.0, GateOptions())
    verdict.require()
    shown = {check.name: check.shown for check in verdict.checks}
    assert shown["image AUROC"]
    assert not shown["FNR at FPR 5 %"]
    assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["passed"]
    strict = judge(metrics(), None, 20.0, GateOptions(judge="bound"))
    assert failed(strict) == ["FNR at FPR 5 %"]


@pytest.mark.parametrize(
    ("challenger", "latency", "names"),
    [
        (metrics(auroc=0.9), 20.0, ["image AUROC", "AUROC against the champion"]),
        (metrics(image_auprc=estimate(0.5)), 20.0, ["image AUPRC"]),
        (metrics(fnr_at_fpr5=estimate(0.1)), 20.0, ["FNR at FPR 5 %"]),
        (metrics(pixel_auroc=estimate(0.8)), 20.0, ["pixel AUROC"]),
        (metrics(pixel_auroc=None), 20.0, ["pixel AUROC"]),
        (metrics(), 51.0, ["latency"]),
        (metrics() | {"num_parameters": 26_300_000}, 20.0, ["parameters"]),
        (metrics(scratch=18), 20.0, ["defect type scratch"]),
        (metrics(scratch=10), 20.0, ["defect type scratch", "all defects against the champion"]),
    ],
)
def test_each_limit_is_missed_by_name(challenger, latency, names):
    verdict = judge(challenger, metrics(), latency, GateOptions())
    assert failed(verdict) == names
    with pytest.raises(GateRefused, match=names[0]):
        verdict.require()


def test_defect_types_are_compared_on_the_same_images_only():
    other = metrics()
    other["per_defect_type"]["scratch"]["num_images"] = 40
    assert failed(judge(other, metrics(), 20.0, GateOptions())) == ["defect type scratch"]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=25), st.floats(0.05, 1.0))
@settings(max_examples=80, deadline=None)
def test_no_lot_has_more_than_its_share_where_that_can_be(sizes, share):
    lots = {f"{lot}-{n}": f"L{lot}" for lot, size in enumerate(sizes) for n in range(size)}
    kept = Counter(lots[name] for name in capped(lots, share))
    assert set(kept) == set(lots.values())
    if max(kept.values()) > share * kept.total():  # too few lots: each then gives the same
        assert set(kept.values()) == {min(sizes)}


def test_a_lot_of_passed_defects_shows_although_none_of_its_images_does():
    rng = np.random.default_rng(1)
    reference = rng.normal(0, 1, 200)
    lots = [f"LOT-{n // 20}" for n in range(400)] + ["LOT-BAD"] * 20
    clean, bad = rng.normal(0, 1, 400), rng.normal(1.6, 0.3, 20)  # all far below a threshold of 3
    assert suspects(clean, lots[:400], reference, OPTIONS) == []
    found = suspects(np.concatenate([clean, bad]), lots, reference, OPTIONS)
    assert [each.lot for each in found] == ["LOT-BAD"]
    with pytest.raises(GateRefused, match="LOT-BAD"):
        require_clean(found, None, OPTIONS)


def test_lots_that_look_more_normal_than_the_reference_are_no_danger():
    rng = np.random.default_rng(2)
    assert suspects(rng.normal(-2, 0.2, 50), ["A"] * 50, rng.normal(0, 1, 200), OPTIONS) == []


def test_an_audit_bounds_what_may_be_hidden_and_its_absence_is_said():
    assert "not enough data" in require_clean([], None, OPTIONS)["audit"]
    assert "0 of 60" in require_clean([], Audited(num_images=60, num_defective=0), OPTIONS)["audit"]
    for audited in (Audited(num_images=10, num_defective=0), Audited(num_images=60, num_defective=1)):
        with pytest.raises(GateRefused, match="does not rule defects out"):
            require_clean([], audited, OPTIONS)
    assert sample_for_audit(["a", "b", "c"], 2) == sample_for_audit(["c", "b", "a"], 2)


def test_a_step_is_done_once_and_a_run_goes_on_where_it_stopped(tmp_path):
    calls, said = [], []

    def step():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return {"num": len(calls)}

    with pytest.raises(KeyboardInterrupt):
        Steps(tmp_path, {"a": 1}, said.append).run("extract", step)
    for _ in range(2):
        assert Steps(tmp_path, {"a": 1}, said.append).run("extract", step)["num"] == 2
    assert said[-1] == "extract: done before"
    with pytest.raises(LifecycleError, match="another run"):
        Steps(tmp_path, {"a": 2}, said.append)

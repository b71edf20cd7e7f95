"""``export`` and ``bench``: standard output is JSON and nothing else; the promised keys are there."""

from __future__ import annotations

import json
import shutil

import pytest

from waferlens.bundle.manifest import sha256_of, verify_bundle
from waferlens.engines.runtimes import ENGINES

ROW = {"engine", "batch", "threads", "mean_ms", "p50_ms", "p99_ms", "images_per_second", "parity"}


@pytest.mark.slow
def test_exporting_again_renews_the_exports_and_keeps_the_weights(waferlens, bundle, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(bundle, again)
    shutil.rmtree(again / "exports")
    spoilt = waferlens("export", again, "--json")
    assert "missing: exports/" in spoilt.error
    shutil.copytree(bundle / "exports", again / "exports")
    ran = waferlens("export", again, "--json")
    assert ran.code == 0, ran.err
    parity = json.loads(ran.out)
    assert parity == json.loads((again / "parity.json").read_text())
    assert parity["default_engine"] in ENGINES
    assert {entry["engine"] for entry in parity["engines"]} == set(ENGINES) - {"pytorch"}
    assert sha256_of(again / "model.safetensors") == sha256_of(bundle / "model.safetensors")
    verify_bundle(again)


@pytest.mark.slow
def test_bench_times_every_engine_at_every_batch(waferlens, bundle, tmp_path):
    told = ("--images", 12, "--batch", 1, "--batch", 2, "--throughput", 0.1, "--out", tmp_path / "bench.json")
    ran = waferlens("bench", bundle, *told, "--json")
    assert ran.code == 0, ran.err
    rows = json.loads(ran.out)
    assert rows == json.loads((tmp_path / "bench.json").read_text())
    on_cpu = [(row["engine"], row["batch"]) for row in rows if row["device"] == "cpu"]
    assert sorted(on_cpu) == sorted((engine, batch) for engine in ENGINES for batch in (1, 2))
    for row in rows:
        assert set(row) >= ROW
        assert row["threads"] == 1
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["images_per_second"] == pytest.approx(row["batch"] / row["mean_ms"] * 1e3)
        assert row["parity"]["passed"] in (True, False)

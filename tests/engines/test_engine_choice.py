"""A machine's default engine is the fastest one measured there; a batch is used only where it changes nothing."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from echo_engine import EchoEngine, Faults

from waferlens.bundle.contents import load_samples
from waferlens.bundle.manifest import read_manifest, write_manifest
from waferlens.bundle.signature import sign_bundle, write_keys
from waferlens.engines.choice import choose_engine, gives_the_same_bytes, measure_choice, useful_batch
from waferlens.engines.parity import gate_images
from waferlens.engines.pool import EnginePool, PoolOptions
from waferlens.engines.runtimes import ENGINES, open_engine
from waferlens.errors import BundleError, EngineError
from waferlens.inspection.inspector import Inspector

PIXELS = np.arange(8, dtype=np.uint8)[:, None, None] * np.ones((1, 256, 256), np.uint8)


class NeighbourlyEngine(EchoEngine):
    """Rounds otherwise in a batch, as some runtimes do."""

    def infer(self, pixels):
        outputs = super().infer(pixels)
        return outputs._replace(score=outputs.score + np.float32(1e-3 * (len(pixels) > 2)))


def single(engine):
    started = time.perf_counter()
    for _ in range(4):
        engine.infer(PIXELS[:1])
    return (time.perf_counter() - started) / 4


def test_a_batch_that_makes_no_image_cheaper_is_not_used():
    engine = EchoEngine(Faults(per_image=0.02))
    assert useful_batch(engine, PIXELS, single(engine)) == 1


def test_a_batch_that_makes_images_cheaper_is_used():
    engine = EchoEngine(Faults(seconds=0.01, per_image=0.0005))
    assert useful_batch(engine, PIXELS, single(engine)) == 8


def test_a_batch_stops_where_answers_would_depend_on_neighbours():
    engine = NeighbourlyEngine(Faults(seconds=0.01))
    assert gives_the_same_bytes(engine, PIXELS, 2)
    assert not gives_the_same_bytes(engine, PIXELS, 4)
    assert useful_batch(engine, PIXELS, single(engine)) == 2


@pytest.mark.slow
def test_the_choice_is_measured_once_and_remembered_until_the_bundle_changes(exported, tmp_path):
    choice = choose_engine(exported, threads=1, cache=tmp_path)
    passed = {e["engine"] for e in json.loads((exported / "parity.json").read_text())["engines"] if e["passed"]}
    assert set(choice.single_ms) == passed - {"pytorch"}
    assert choice.engine == min(choice.single_ms, key=choice.single_ms.get)
    (remembered,) = tmp_path.iterdir()
    started = time.perf_counter()
    assert choose_engine(exported, threads=1, cache=tmp_path) == choice
    assert time.perf_counter() - started < 0.5
    remembered.write_text("{")
    assert choose_engine(exported, threads=1, cache=tmp_path).engine in passed
    assert json.loads(remembered.read_text())["engine"] in passed
    choose_engine(exported, threads=2, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_an_engine_that_failed_the_gate_is_no_candidate(exported, tmp_path):
    import shutil

    bundle = shutil.copytree(exported, tmp_path / "bundle")
    parity = json.loads((bundle / "parity.json").read_text())
    for entry in parity["engines"]:
        entry["passed"] = entry["engine"] == "openvino"
    (bundle / "parity.json").write_text(json.dumps(parity))
    assert set(measure_choice(bundle, threads=1).single_ms) == {"openvino"}
    (bundle / "parity.json").write_text(json.dumps({"engines": []}))
    write_manifest(bundle, read_manifest(bundle)["provenance"])
    with pytest.raises(EngineError, match="no engine opens"):
        choose_engine(bundle, threads=1, cache=None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openvino", "openvino-int8"])
def test_openvino_gives_an_image_the_same_bytes_in_any_batch(exported, name):
    pixels = gate_images(load_samples(exported).held_out)
    engine = open_engine(name, exported)
    assert all(gives_the_same_bytes(engine, pixels, batch) for batch in (2, 3, 4, 8, 16))


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_a_pool_gives_the_answers_of_its_engine(exported, name):
    pixels = gate_images(load_samples(exported).held_out)
    pool = EnginePool.open(exported, PoolOptions(engine=name, num_workers=2))
    try:
        assert pool.ready
        assert pool.model_version == "vae-wafer-tiny-v0.1.0"
        engine = open_engine(name, exported)
        for image in pixels:
            mine, theirs = pool.infer(image, time.monotonic() + 20), engine.infer(image[None])
            assert mine.score == float(theirs.score[0])
            assert mine.heatmap.tobytes() == theirs.heatmap.tobytes()
            floats = pool.infer(image.astype(np.float32) / np.float32(255), time.monotonic() + 20)
            assert floats.score == mine.score
    finally:
        pool.close()


@pytest.mark.slow
def test_a_pool_and_an_inspector_take_only_bundles_that_the_configured_key_signed(exported, tmp_path):
    import shutil

    bundle = shutil.copytree(exported, tmp_path / "bundle")
    private, public = write_keys(tmp_path / "keys")
    options = PoolOptions(engine="openvino", num_workers=1)
    with pytest.raises(BundleError, match="is not signed"):
        EnginePool.open(bundle, options, public_key=public)
    with pytest.raises(BundleError, match="is not signed"):
        Inspector.load(bundle, public_key=public)
    sign_bundle(bundle, private)
    pool = EnginePool.open(bundle, options, public_key=public)
    try:
        with pytest.raises(BundleError, match="is not signed"):
            pool.swap(exported)
        assert pool.ready
        pool.swap(bundle)
    finally:
        pool.close()
    Inspector.load(bundle, engine="openvino", public_key=public)

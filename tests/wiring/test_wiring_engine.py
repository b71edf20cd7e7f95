"""A service infers in its own process, or on servers that the environment names, with a verified bundle."""

from __future__ import annotations

import time

import pytest

from waferlens.bundle.contents import load_samples
from waferlens.engines.pool import EnginePool, PoolOptions
from waferlens.engines.triton import TritonEngine
from waferlens.errors import BundleError, EngineFailed, OptionsError
from waferlens.wiring.engine import open_timed_engine

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("WAFERLENS_CACHE", str(tmp_path / "cache"))
    for name in ("WAFERLENS_TRITON", "WAFERLENS_BUNDLE_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_without_servers_the_fastest_engine_of_this_machine_infers_here(exported, tmp_path):
    engine = open_timed_engine(exported, PoolOptions(num_workers=1))
    try:
        assert isinstance(engine, EnginePool)
        assert engine.ready
        image = load_samples(exported).held_out[0]
        assert engine.infer(image, time.monotonic() + 20).model_version == engine.model_version
    finally:
        engine.close()
    assert len(list((tmp_path / "cache" / "engines").iterdir())) == 1


def test_servers_that_are_named_are_asked_and_need_not_be_up(exported, monkeypatch):
    monkeypatch.setenv("WAFERLENS_TRITON", "http://127.0.0.1:9,grpc://127.0.0.1:9")
    engine = open_timed_engine(exported)
    try:
        assert isinstance(engine, TritonEngine)
        assert (engine.ready, engine.model_version) == (False, "vae-wafer-tiny-v0.1.0")
        started = time.monotonic()
        with pytest.raises(EngineFailed):
            engine.infer(load_samples(exported).held_out[0], started + 1.0)
        assert time.monotonic() - started < 1.0
    finally:
        engine.close()


def test_a_bundle_or_an_address_that_cannot_be_used_is_an_error(exported, monkeypatch, tmp_path):
    for urls in ("", "http://127.0.0.1:9"):
        monkeypatch.setenv("WAFERLENS_TRITON", urls)
        with pytest.raises(BundleError):
            open_timed_engine(tmp_path)
    monkeypatch.setenv("WAFERLENS_TRITON", "localhost")
    with pytest.raises(OptionsError, match="address of a Triton server"):
        open_timed_engine(exported)

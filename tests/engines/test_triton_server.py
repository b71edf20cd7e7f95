"""Two replicas of the real Triton server: no inspection fails when one is killed, and service comes back alone.

The server comes with `make triton`. What runs here is its Python backend: protocol, repository, batching, queue
policy and health are the server's own; the same TorchScript file in Python plays the PyTorch backend's part.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from loopback import free_ports
from programs import haproxy
from triton_server import ENVIRONMENT, ROOT, TritonServer, is_installed, prepare_backends
from waferlens.bundle.contents import load_samples
from waferlens.bundle.manifest import read_manifest, write_manifest
from waferlens.engines.parity import BOUND_32_BIT, gate_images
from waferlens.engines.runtimes import open_engine
from waferlens.engines.triton import TritonEngine
from waferlens.engines.triton_repository import TritonOptions, export_repositories
from waferlens.errors import DeadlineMissed, EngineError, EngineFailed, Overloaded

pytestmark = pytest.mark.slow
MODEL = "vae-wafer-tiny"
VERSION = f"{MODEL}-v0.1.0"


@pytest.fixture(scope="module")
def repository(exported, tmp_path_factory) -> Path:
    options = TritonOptions(python_environment=ENVIRONMENT, max_queue=4)
    out = tmp_path_factory.mktemp("triton")
    told = export_repositories(exported, out, options)
    assert told["model"] == MODEL
    return out / "python"


@pytest.fixture(scope="module")
def replicas(repository, tmp_path_factory):
    assert is_installed(), "the Triton server is missing: run `make triton`"
    folder = tmp_path_factory.mktemp("replicas")
    backends = prepare_backends(folder / "backends")
    servers = [
        TritonServer(repository, MODEL, backends, folder / f"{name}.log") for name in ("primary", "failover")
    ]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def both(replicas):
    """Both replicas up, whatever the test before did to them."""
    for server in replicas:
        if server._process is None:
            server.start()
    for server in replicas:
        server.wait()
    return replicas


@pytest.fixture(scope="module")
def pixels(exported):
    return gate_images(load_samples(exported).held_out)


@pytest.fixture(scope="module")
def expected(exported, pixels):
    engine = open_engine("torchscript", exported)
    return [engine.infer(pixels[index : index + 1]) for index in range(len(pixels))]


def urls(servers, scheme):
    return [getattr(server, scheme) for server in servers]


class Line:
    """A few cameras that post image after image until told to stop; what each heard, and how late."""

    def __init__(self, infer, pixels, expected, seconds, cameras=2):
        self.heard: list[tuple[float, str]] = []
        self.errors: list[str] = []
        self.worst_overrun = -1.0
        self._told = infer, pixels, expected, seconds
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(cameras)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    @property
    def counts(self) -> Counter[str]:
        return Counter(what for _, what in self.heard)

    def since(self, start: float) -> Counter[str]:
        return Counter(what for when, what in self.heard if when >= start)

    def _run(self, number):
        infer, pixels, expected, seconds = self._told
        while not self._stop.is_set():
            index = number % len(pixels)
            deadline = time.monotonic() + seconds
            try:
                inference = infer(pixels[index], deadline)
                right = inference.score == float(expected[index].score[0]) and inference.model_version == VERSION
                what = "answered" if right else "WRONG"
            except EngineError as error:
                what = type(error).__name__
                self.errors.append(str(error))
            now = time.monotonic()
            self.worst_overrun = max(self.worst_overrun, now - deadline)
            self.heard.append((now, what))
            number += 1
            time.sleep(0.01)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_the_server_answers_with_the_bytes_of_the_graph_alone_also_in_a_batch(
    both, scheme, exported, pixels, expected
):
    engine = TritonEngine.open(urls(both, scheme), exported)
    try:
        assert engine.ready
        assert engine.model_version == VERSION
        infer = lambda index: engine.infer(pixels[index], time.monotonic() + 20)  # noqa: E731
        one_by_one = [infer(index) for index in range(len(pixels))]
        with ThreadPoolExecutor(4) as threads:
            together = list(threads.map(infer, range(len(pixels))))
    finally:
        engine.close()
    for inferences in (one_by_one, together):
        for inference, outputs in zip(inferences, expected, strict=True):
            assert inference.model_version == VERSION
            assert inference.score == float(outputs.score[0])
            assert inference.reconstruction.tobytes() == outputs.reconstruction.tobytes()
            assert inference.heatmap.tobytes() == outputs.heatmap.tobytes()
            assert inference.latent.tobytes() == outputs.latent.tobytes()


def test_the_server_decides_as_the_bundle_does(both, exported, pixels):
    from waferlens.bundle.contents import load_reference

    deviation = float(load_reference(exported).scores.std(ddof=1))
    reference = open_engine("pytorch", exported).infer(pixels).score
    engine = TritonEngine.open(urls(both, "http"), exported)
    try:
        scores = [engine.infer(image, time.monotonic() + 20).score for image in pixels]
    finally:
        engine.close()
    assert np.abs(np.asarray(scores) - reference).max() <= BOUND_32_BIT * deviation


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_one_replica_killed_under_load_fails_no_inspection(both, scheme, exported, pixels, expected):
    engine = TritonEngine.open(urls(both, scheme), exported)
    try:
        with Line(engine.infer, pixels, expected, seconds=1.0) as line:
            time.sleep(1.5)
            both[0].kill()
            time.sleep(2.0)
            both[0].start()
            both[0].wait()
            back = time.monotonic()
            while len(engine.up) < 2:
                assert time.monotonic() - back < 5
                time.sleep(0.02)
            time.sleep(1.0)
    finally:
        engine.close()
    assert set(line.counts) == {"answered"}, (line.counts, line.errors)
    assert line.counts["answered"] > 100
    assert line.worst_overrun < 0


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_both_killed_is_an_error_before_the_deadline_and_one_coming_back_is_enough(
    both, scheme, exported, pixels, expected
):
    engine = TritonEngine.open(urls(both, scheme), exported)
    try:
        with Line(engine.infer, pixels, expected, seconds=1.0) as line:
            time.sleep(0.5)
            for server in both:
                server.kill()
            killed = time.monotonic()
            time.sleep(1.0)
            assert set(line.since(killed + 0.2)) == {"EngineFailed"}
            assert not engine.ready
            both[1].start()
            both[1].wait()
            back = time.monotonic()
            while "answered" not in line.since(back):
                assert time.monotonic() - back < 5
                time.sleep(0.01)
            recovered = time.monotonic() - back
            time.sleep(0.7)
            settled = time.monotonic()
            time.sleep(0.5)
    finally:
        engine.close()
    assert "WRONG" not in line.counts
    assert set(line.since(settled)) == {"answered"}
    assert line.worst_overrun < 0
    assert recovered < 5


def test_a_replica_that_stands_still_fails_no_inspection(both, exported, pixels, expected):
    engine = TritonEngine.open(urls(both, "http"), exported)
    try:
        with Line(engine.infer, pixels, expected, seconds=1.0) as line:
            time.sleep(0.5)
            both[0].pause()
            try:
                time.sleep(4.0)
                assert engine.up == (both[1].http,)
            finally:
                both[0].resume()
            resumed = time.monotonic()
            while len(engine.up) < 2:
                assert time.monotonic() - resumed < 5
                time.sleep(0.02)
    finally:
        engine.close()
    assert set(line.counts) == {"answered"}, (line.counts, line.errors)
    assert line.worst_overrun < 0


def test_a_full_queue_is_overload_and_not_a_failure(both, exported, pixels):
    engine = TritonEngine.open(urls(both[:1], "http"), exported)

    def ask(index):
        try:
            return engine.infer(pixels[index % len(pixels)], time.monotonic() + 10).score
        except EngineError as error:
            return type(error)

    try:
        with ThreadPoolExecutor(40) as threads:
            heard = list(threads.map(ask, range(80)))
        assert engine.up == (both[0].http,)
    finally:
        engine.close()
    kinds = Counter(what if isinstance(what, type) else "answered" for what in heard)
    assert kinds["answered"] > 0, kinds
    assert kinds[Overloaded] > 0
    assert set(kinds) <= {"answered", Overloaded}


def test_a_deadline_shorter_than_the_work_is_missed_or_refused_in_time(both, exported, pixels):
    engine = TritonEngine.open(urls(both, "grpc"), exported)
    try:
        for _ in range(20):
            deadline = time.monotonic() + 0.004
            with pytest.raises((DeadlineMissed, Overloaded, EngineFailed)):
                engine.infer(pixels[0], deadline)
            assert time.monotonic() - deadline < 0.1
    finally:
        engine.close()


def test_a_new_version_comes_and_goes_under_load_without_a_failed_inspection(
    both, repository, exported, pixels, expected, tmp_path
):
    newer = shutil.copytree(exported, tmp_path / "newer")
    config = json.loads((newer / "config.json").read_text())
    (newer / "config.json").write_text(json.dumps(config | {"version": "v0.1.1"}))
    write_manifest(newer, read_manifest(newer)["provenance"])
    answered: list[tuple[float, str]] = []
    engine = TritonEngine.open(urls(both, "http"), exported)

    def infer(image, deadline):
        asked = time.monotonic()
        inference = engine.infer(image, deadline)
        answered.append((asked, inference.model_version))
        return type(inference)(**(vars(inference) | {"model_version": VERSION}))

    def versions(since):
        """Of images asked for since then: one asked for before a swap is answered by whom it asked."""
        return {version for asked, version in list(answered) if asked >= since}

    options = TritonOptions(python_environment=ENVIRONMENT, max_queue=4)
    try:
        with Line(infer, pixels, expected, seconds=1.0) as line:
            time.sleep(0.5)
            with pytest.raises(EngineError, match="no Triton server has"):
                engine.swap(newer)
            export_repositories(newer, repository.parent, options)
            for server in both:
                load(server)
            assert versions(since=0.0) == {VERSION}, "loaded is not yet asked for"
            engine.swap(newer)
            swapped = time.monotonic()
            time.sleep(0.7)
            assert versions(since=swapped) == {engine.model_version} == {f"{MODEL}-v0.1.1"}
            started = time.monotonic()
            engine.swap(exported)  # the rollback
            swapped = time.monotonic()
            assert swapped - started < 1
            time.sleep(0.5)
            assert versions(since=swapped) == {VERSION}
    finally:
        engine.close()
    assert set(line.counts) == {"answered"}, (line.counts, line.errors)


def load(server):
    """What whoever deploys does: `POST /v2/repository/models/NAME/load`."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
    connection.request("POST", f"/v2/repository/models/{MODEL}/load", b"{}")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_graph_that_was_altered_after_its_export_is_not_served(repository, tmp_path):
    copy = shutil.copytree(repository, tmp_path / "python")
    graph = next(copy.glob("*/*/model.pt"))
    graph.write_bytes(graph.read_bytes() + b"\0")
    server = TritonServer(copy, MODEL, prepare_backends(tmp_path / "backends"), tmp_path / "log")
    server.start()
    try:
        with pytest.raises(AssertionError, match="is not what was exported"):
            server.wait(60)
    finally:
        server.stop()


@pytest.fixture
def proxy(both, tmp_path):
    """HAProxy with the configuration of `deploy` in front of both replicas."""
    program = haproxy()
    http_port, grpc_port = free_ports(2)
    environment = {
        "HAPROXY_SOCKET": str(tmp_path / "haproxy.sock"),
        "HAPROXY_HTTP": f"127.0.0.1:{http_port}",
        "HAPROXY_GRPC": f"127.0.0.1:{grpc_port}",
        "WAFERLENS_MODEL": MODEL,
    }
    for name, server in zip(("PRIMARY", "FAILOVER"), both, strict=True):
        environment |= {
            f"TRITON_{name}_HTTP": f"127.0.0.1:{server.http_port}",
            f"TRITON_{name}_HTTP_PORT": str(server.http_port),
            f"TRITON_{name}_GRPC": f"127.0.0.1:{server.grpc_port}",
        }
    with (tmp_path / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-db", "-f", ROOT / "deploy" / "haproxy" / "haproxy.cfg"],
            env=os.environ | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    yield {"http": f"http://127.0.0.1:{http_port}", "grpc": f"grpc://127.0.0.1:{grpc_port}"}
    process.terminate()
    process.wait(20)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_through_haproxy_one_replica_killed_under_load_fails_no_inspection(
    both, proxy, scheme, exported, pixels, expected
):
    engine = TritonEngine.open([proxy[scheme]], exported)
    try:
        end = time.monotonic() + 10
        while not engine.ready and time.monotonic() < end:
            time.sleep(0.05)
        with Line(engine.infer, pixels, expected, seconds=1.0) as line:
            time.sleep(1.0)
            both[0].kill()
            time.sleep(2.0)
    finally:
        engine.close()
    assert set(line.counts) == {"answered"}, (line.counts, line.errors)
    assert line.counts["answered"] > 40

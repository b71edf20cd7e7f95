"""A replay on two Ray nodes: the same scores as on one machine, also when a node is killed on the way."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from waferlens.bundle.contents import load_samples
from waferlens.inspection.inspector import Inspector
from waferlens.lifecycle.replay import Source, replay
from waferlens.storage.blobs import LocalBlobs
from waferlens.storage.challenger_scores import compared
from waferlens.storage.database import migrate, open_database
from waferlens.storage.inspections import insert_inspection

sys.path.append(str(Path(__file__).parents[1] / "storage"))
from storage_examples import an_inspection

pytestmark = pytest.mark.slow
RAY = Path(sys.executable).with_name("ray")
VERSION, LATER = "vae-wafer-v1.1.0", 2**45
MEMORY = "--object-store-memory=100000000"


class Node:
    """A node as a process group of its own, which a test may kill."""

    def __init__(self, log, *arguments):
        command = [str(RAY), "start", "--block", "--num-cpus=1", "--disable-usage-stats", MEMORY, *arguments]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def kill(self):
        for child in reversed(descendants(self.process.pid)):
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def descendants(pid):
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(found for child in children for found in descendants(int(child)))]


@pytest.fixture
def cluster():
    """A head and a second node on loopback; yields the head's address and the second node."""
    folder = Path(tempfile.mkdtemp(prefix="wl-ray-"))  # short: sockets have names of 107 letters at most
    port = next(port for port in range(6400, 6999) if is_free(port))  # ports of workers begin at 10002
    local = "--node-ip-address=127.0.0.1"
    with (folder / "log").open("wb") as log:
        head = Node(log, "--head", local, f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}/t")
        wait_for(lambda: not is_free(port), head, folder)
        second = Node(log, f"--address=127.0.0.1:{port}", local)
        try:
            yield f"127.0.0.1:{port}", second
        finally:
            second.kill()
            head.kill()
            shutil.rmtree(folder, ignore_errors=True)


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def wait_for(condition, node, folder):
    ends = time.monotonic() + 120
    while not condition():
        assert node.process.poll() is None, (folder / "log").read_text()[-2000:]
        assert time.monotonic() < ends
        time.sleep(0.2)


@pytest.fixture
def source(tmp_path, exported):
    database = open_database(f"sqlite:///{tmp_path / 'record.db'}")
    migrate(database)
    blobs = LocalBlobs(tmp_path / "blobs")
    pixels, now_ms = load_samples(exported).held_out, time.time_ns() // 1_000_000
    with database.writing() as connection:
        for number in range(480):
            image = np.roll(pixels[number % len(pixels)], number, axis=0)
            file = io.BytesIO()
            Image.fromarray(image).save(file, "PNG")
            told = {"original": blobs.put(file.getvalue()), "received_ms": now_ms + number}
            insert_inspection(connection, an_inspection(**told))
    yield Source(database=database, blobs=blobs)
    database.close()


def test_two_nodes_score_as_one_machine_and_the_death_of_one_loses_nothing(cluster, source, exported, monkeypatch):
    import ray

    from waferlens.lifecycle.ray_workers import RayWorkers

    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address, second = cluster
    workers = RayWorkers(address, exported, None)
    try:
        ends = time.monotonic() + 120
        while sum(node["Alive"] for node in ray.nodes()) < 2:
            assert time.monotonic() < ends
            time.sleep(0.5)
        progress = threading.Event()

        def kill_the_second():
            progress.wait(200)
            second.kill()

        killer = threading.Thread(target=kill_the_second)
        killer.start()
        done = replay(
            source,
            VERSION,
            workers,
            since_ms=0,
            until_ms=LATER,
            count=lambda *_: progress.set(),
        )
        killer.join()
        assert second.process.poll() is not None
    finally:
        workers.close()
    assert (done.num_scored, done.num_failed) == (480, 0)
    inspector = Inspector.load(exported)
    with source.database.reading() as connection:
        found = compared(connection, VERSION, since_ms=0, until_ms=LATER)
    with source.database.reading() as connection:
        from waferlens.storage.inspections import find_inspection

        for each in found[::40]:
            original = find_inspection(connection, each.inspection_id).original
            expected = inspector.inspect_file(source.blobs.get(original))
            assert each.challenger_score == expected.inference.score
            assert each.challenger_decision == str(expected.decision.kind)
    print(f"{done.images_per_second:.1f} images a second on two nodes of one core, one of them killed on the way")

"""What a challenger in shadow costs the line: the champion's latency beside one that is well, slow, hanging or
crashing.

    python bench/life_shadow.py --bundle BUNDLE --images FOLDER --out runs/bench/shadow.json

The service runs in a process of its own over the bundle; another one scores what comes, as ``waferlens rollout
shadow`` does, with a challenger that behaves as told. Rounds take turns, so that a machine's bad minute meets
all of them; every round with a challenger is compared with the rounds without one around it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from waferlens.lifecycle.isolated import inspector_of, step_aside
from waferlens.lifecycle.replay import LocalWorkers, ShadowOptions, Source, shadow_once
from waferlens.web.load import bench_service
from waferlens.wiring.record import open_record

KINDS = ("well", "ten times slower", "hangs", "crashes")
VERSION = "vae-wafer-v9.0.0"


def misbehaving(bundle: Path, kind: str):
    score = inspector_of(bundle, None)

    def answer(image: bytes):
        if kind == "crashes":
            os._exit(1)
        started = time.perf_counter()
        told = score(image)
        ends = {"well": 0.0, "ten times slower": started + 10 * (time.perf_counter() - started)}
        while time.perf_counter() < ends.get(kind, float("inf")):
            sum(range(10_000))  # computing, not sleeping: that is what could cost somebody something
        return told

    return answer


def shadow(home: Path, bundle: Path, kind: str) -> None:
    """A process: scores until it is killed."""
    step_aside()
    record = open_record(home)
    options = ShadowOptions(image_seconds=5.0)
    workers = LocalWorkers(partial(misbehaving, bundle, kind), 1, seconds=options.image_seconds)
    since_ms = time.time_ns() // 1_000_000
    source = Source(database=record.database, blobs=record.blobs)
    while True:
        if not shadow_once(source, VERSION, workers, since_ms, options):
            time.sleep(options.poll_seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/shadow.json"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--port", type=int, default=18_391)
    told = parser.parse_args()
    command = Path(sys.executable).with_name("waferlens")
    with tempfile.TemporaryDirectory() as folder:
        home, url = Path(folder) / "home", f"http://127.0.0.1:{told.port}"
        make_key = [command, "keys", "create", "--home", home, "--role", "admin"]
        key = subprocess.run(make_key, capture_output=True, text=True, check=True).stdout.strip()
        service = subprocess.Popen(
            [command, "serve", "--bundle", told.bundle, "--home", home, "--port", str(told.port)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        try:
            wait_until_ready(url)
            load = partial(bench_service, url, key, told.images, rate=told.rate, connections=4)
            load(seconds=5.0)
            rounds = []
            for _ in range(told.rounds):
                for kind in KINDS:
                    rounds.append(("none", load(seconds=told.seconds)))
                    beside = get_context("spawn").Process(target=shadow, args=(home, told.bundle, kind))
                    beside.start()
                    time.sleep(6)
                    rounds.append((kind, load(seconds=told.seconds)))
                    for child in children_of(beside.pid):
                        os.kill(child, signal.SIGKILL)
                    beside.kill()
                    beside.join()
            rounds.append(("none", load(seconds=told.seconds)))
        finally:
            service.terminate()
            service.wait()
    found = {"load": os.getloadavg(), "rounds": rounds, "summary": {kind: summary(rounds, kind) for kind in KINDS}}
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(found, indent=2, default=str) + "\n", encoding="utf-8")
    print(json.dumps(found["summary"], indent=2))


def wait_until_ready(url: str) -> None:
    ends = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                return
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def summary(rounds, kind):
    """Ratio of a round's quantiles to the mean of the two rounds without a challenger around it."""
    told = {}
    for name in ("p50_ms", "p99_ms"):
        ratios = [
            rounds[at][1][name] / np.mean([rounds[at - 1][1][name], rounds[at + 1][1][name]])
            for at in range(len(rounds))
            if rounds[at][0] == kind
        ]
        told[name] = {
            "beside": [round(rounds[at][1][name], 1) for at in range(len(rounds)) if rounds[at][0] == kind],
            "alone": [round(r[1][name], 1) for r in rounds if r[0] == "none"],
            "ratio": round(float(np.median(ratios)), 3),
        }
    told["num_errors"] = sum(r[1]["num_errors"] for r in rounds if r[0] == kind)
    return told


if __name__ == "__main__":
    main()

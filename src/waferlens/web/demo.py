"""The end of ``waferlens demo``: the service on loopback, wafers of the synthetic fab streamed through it."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from pathlib import Path

import numpy as np

from waferlens.inspection.facts import load_facts
from waferlens.settings.service import load_service_settings
from waferlens.storage.accounts import Role
from waferlens.web.app import build_app
from waferlens.web.client import Client
from waferlens.web.server import serving
from waferlens.wiring.engine import open_timed_engine
from waferlens.wiring.record import open_record
from waferlens.wiring.review_demo import fill_station, write_settings
from waferlens.wiring.serve import start_service
from waferlens.wiring.told import Told

_IMAGES_A_SECOND = 20.0
_POINTS = 20


def serve_demo(bundle: Path, data: Path, home: Path, *, port: int, seconds: float, told: Told) -> dict[str, str]:
    """Serve and stream for so many seconds (infinite: until interrupted); facts that a newcomer wants to see."""
    say = told.say
    images = [path.read_bytes() for path in sorted(data.glob("test/*/*.png"))]
    images = [images[number] for number in np.random.default_rng(0).permutation(len(images))]
    record = open_record(home)
    write_settings(home, data / "fab.json")
    service = start_service(load_facts(bundle), record, load_service_settings(home), open_timed_engine(bundle))
    key = record.accounts.create_key("demo", Role.ENGINEER, "demo")
    try:
        station = fill_station(service, data / "fab.json", told)
        with serving(build_app(service), port=port) as url, Client(url, key) as client:
            say(f"the service is up: {url}/docs (key {key})")
            say(f"the review station: {url}/station, sign in {station['sign in']}")
            say("streaming wafers " + (f"for {seconds:g} s" if seconds < float("inf") else "until Ctrl-C"))
            decisions, took = _stream(client, images, seconds)
            wafers = len(client.get("/api/v1/wafers"))
    finally:
        service.close()
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(decisions.items()))
    times = 1e3 * np.asarray(took)
    return station | {
        "service": f"{len(took)} images of {wafers} wafers: {counts}",
        "image to recorded answer": f"{np.median(times):.1f} ms median, {times.max():.1f} ms longest",
        "its record": str(home),
        "again": f"waferlens serve --bundle {bundle} --home {home}",
    }


def _stream(client: Client, images: list[bytes], seconds: float) -> tuple[Counter[str], list[float]]:
    """Post images in the line's rhythm; the decisions, and the seconds of each."""
    started, decisions, took = time.monotonic(), Counter[str](), list[float]()
    try:
        for number in itertools.count():
            due = started + number / _IMAGES_A_SECOND
            if number > 0 and due - started >= seconds:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            begun = time.monotonic()
            wafer = f"DEMO-{number // _POINTS:04d}"
            answer = client.inspect(images[number % len(images)], wafer, number % _POINTS)
            took.append(time.monotonic() - begun)
            decisions[answer["decision"]] += 1
    except KeyboardInterrupt:
        pass
    return decisions, took

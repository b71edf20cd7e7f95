"""The end of ``waferlens demo``: the service on loopback, wafers of the synthetic fab streamed through it."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from waferlens.inspection.facts import load_facts
from waferlens.settings.service import ServiceSettings
from waferlens.storage.accounts import Role
from waferlens.web.app import build_app
from waferlens.web.client import Client
from waferlens.web.server import serving
from waferlens.wiring.engine import open_timed_engine
from waferlens.wiring.record import open_record
from waferlens.wiring.serve import start_service

_IMAGES_A_SECOND = 20.0
_POINTS = 20


def serve_demo(
    bundle: Path, data: Path, home: Path, *, port: int, seconds: float, say: Callable[[str], None]
) -> dict[str, str]:
    """Serve and stream for so many seconds (infinite: until interrupted); facts that a newcomer wants to see."""
    images = [path.read_bytes() for path in sorted(data.glob("test/*/*.png"))]
    images = [images[number] for number in np.random.default_rng(0).permutation(len(images))]
    record = open_record(home)
    service = start_service(load_facts(bundle), record, ServiceSettings(), open_timed_engine(bundle))
    key = record.accounts.create_key("demo", Role.ENGINEER, "demo")
    try:
        with serving(build_app(service), port=port) as url, Client(url, key) as client:
            say(f"the service is up: {url}/docs (key {key})")
            say("streaming wafers " + (f"for {seconds:g} s" if seconds < float("inf") else "until Ctrl-C"))
            decisions, took = _stream(client, images, seconds)
            wafers = len(client.get("/api/v1/wafers"))
    finally:
        service.close()
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(decisions.items()))
    times = 1e3 * np.asarray(took)
    return {
        "service": f"{len(took)} images of {wafers} wafers: {told}",
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

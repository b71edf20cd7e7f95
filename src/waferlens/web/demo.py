"""The end of ``waferlens demo``: the service on loopback, wafers of the synthetic fab streamed through it."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from pathlib import Path

import numpy as np

from waferlens.inspection.facts import load_facts
from waferlens.settings.environment import num_workers
from waferlens.settings.service import load_service_settings
from waferlens.storage.accounts import Role
from waferlens.storage.alarms import AlarmKind, open_by_kind
from waferlens.storage.watched import newest_model
from waferlens.web.app import build_app
from waferlens.web.client import Client
from waferlens.web.server import serving
from waferlens.wiring.alerting import Alerting, alerting_beside
from waferlens.wiring.engine import open_timed_engine
from waferlens.wiring.record import open_record
from waferlens.wiring.review_demo import fab_of, fill_station, write_settings
from waferlens.wiring.serve import Service, start_service
from waferlens.wiring.told import Told
from waferlens.wiring.watch_demo import finish_watch, stream_days

_IMAGES_A_SECOND = 20.0
_POINTS = 20
_ARRIVES_SECONDS = 20.0


def serve_demo(
    bundle: Path, data: Path, home: Path, *, port: int, seconds: float, rules: Path | None = None, told: Told
) -> dict[str, str]:
    """Days of a line with the watch beside them, then serve and stream for so many seconds (infinite: until
    interrupted); facts that a newcomer wants to see. rules: of Prometheus, to show that alarms arrive.
    """
    say = told.say
    images = [path.read_bytes() for path in sorted(data.glob("test/*/*.png"))]
    images = [images[number] for number in np.random.default_rng(0).permutation(len(images))]
    record = open_record(home)
    write_settings(home, data / "fab.json")
    service = start_service(load_facts(bundle), record, load_service_settings(home), open_timed_engine(bundle))
    key = record.accounts.create_key("demo", Role.ENGINEER, "demo")
    try:
        days = _days(service, bundle, data / "fab.json", told)
        station = fill_station(service, data / "fab.json", told)
        finish_watch(service)
        with (
            serving(build_app(service), port=port) as url,
            Client(url, key) as client,
            alerting_beside(url, rules) as alerting,
        ):
            say(f"the alarms of the watch: {url}/station/watch")
            days |= {"Alertmanager": _arrived(service, alerting)}
            say(f"the service is up: {url}/docs (key {key})")
            say(f"the review station: {url}/station, sign in {station['sign in']}")
            say("streaming wafers " + (f"for {seconds:g} s" if seconds < float("inf") else "until Ctrl-C"))
            decisions, took = _stream(client, images, seconds)
            waiting = service.review.queue.waiting()
    finally:
        service.close()
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(decisions.items()))
    times = 1e3 * np.asarray(took)
    return (
        days
        | station
        | {
            "service": f"{len(took)} images of {math.ceil(len(took) / _POINTS)} wafers: {counts}",
            "wait for people": f"{waiting.num_looks} images, {waiting.num_arbitrations} arbitrations",
            "image to recorded answer": f"{np.median(times):.1f} ms median, {times.max():.1f} ms longest",
            "its record": str(home),
            "again": f"waferlens serve --bundle {bundle} --home {home}",
        }
    )


def _days(service: Service, bundle: Path, fab_file: Path, told: Told) -> dict[str, str]:
    """Stream the days into a record that has none yet."""
    with service.record.database.reading() as connection:
        if newest_model(connection) is not None:
            return {"days streamed": "by an earlier run"}
    told.say("streaming days of a line, the watch beside them")
    watch, workers = service.settings.watch, num_workers()
    return stream_days(service.record, watch, bundle, fab_of(fab_file), workers=workers, told=told).facts()


def _arrived(service: Service, alerting: Alerting | None) -> str:
    """What Alertmanager holds of the open alarms."""
    if alerting is None:
        return "not there: it takes prometheus, prometheus-alertmanager and deploy/prometheus"
    service.figures.refresh(at_once=True)
    with service.record.database.reading() as connection:
        kinds = [kind for kind, num in open_by_kind(connection).items() if num]
    wanted = {"Escapes escapes" if kind is AlarmKind.ESCAPES else f"WatchAlarm {kind}" for kind in kinds}
    return ", ".join(alerting.wait_for(wanted, _ARRIVES_SECONDS)) or "no alert"


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

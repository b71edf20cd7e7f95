"""Alerts and dashboards with the real programs: rules tested by promtool, every query asked of a Prometheus that
scraped a service, an alert seen arriving at an Alertmanager and leaving it."""

from __future__ import annotations

import json
import re
import runpy
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from deploy_files import DEPLOY

import line
from programs import program
from waferlens.bundle.contents import Reference
from waferlens.monitoring.drift import DriftOptions
from waferlens.monitoring.options import WatchOptions
from waferlens.review.policy import ReviewOptions
from waferlens.review.saying import Saying
from waferlens.settings.service import ProductOptions, ServiceSettings
from waferlens.storage.accounts import Identity, Role
from waferlens.storage.alarms import AlarmKind, Finding
from waferlens.storage.review_stored import Choice, Order
from waferlens.storage.stored import DAY_MS, clock_ms
from waferlens.wiring.escapes import find_escapes
from waferlens.wiring.watch import conclude, drift_figures, find_drift

WATCH = DEPLOY / "prometheus"
MADE = runpy.run_path(str(DEPLOY / "grafana" / "dashboards.py"), run_name="made")
RULES = yaml.safe_load((WATCH / "waferlens.rules.yml").read_text())
ALERTS = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]
QUERIES = [query for panels in MADE["DASHBOARDS"].values() for panel in panels for query, _ in panel.queries]
TRITONS = b"""nv_gpu_utilization{gpu_uuid="GPU-0"} 0.4
nv_gpu_memory_used_bytes{gpu_uuid="GPU-0"} 5e9
nv_gpu_memory_total_bytes{gpu_uuid="GPU-0"} 16e9
"""


def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)


def test_every_alert_fires_and_clears():
    tests = yaml.safe_load((WATCH / "waferlens.test.yml").read_text())["tests"]
    assert sorted(test["name"] for test in tests) == sorted(ALERTS)
    for test in tests:
        expected = [len(step["exp_alerts"]) for step in test["alert_rule_test"]]
        assert expected == [1, 0], test["name"]
    ran = run(program("promtool", "prometheus"), "test", "rules", "waferlens.test.yml", cwd=WATCH)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prometheus_and_alertmanager_accept_their_configurations():
    ran = run(program("promtool", "prometheus"), "check", "config", "prometheus.yml", cwd=WATCH)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ran = run(program("amtool", "prometheus-alertmanager"), "check-config", "alertmanager.yml", cwd=WATCH)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_its_runbook():
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{rule['alert'].lower()}"
            assert rule["labels"]["severity"] in ("page", "ticket")


@pytest.mark.parametrize("name", MADE["DASHBOARDS"])
def test_a_dashboard_is_what_the_code_makes(name):
    text = (DEPLOY / "grafana" / f"{name}.json").read_text(encoding="utf-8")
    assert text == MADE["rendered"](name)
    panels = json.loads(text)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def answering(answer: Callable[[str, bytes], bytes]) -> Iterator[int]:
    """A little server on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content = answer(self.path, body)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _reply

        def log_message(self, *_: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def started(*words: str, cwd: Path, ready: str) -> Iterator[None]:
    """A program of the system, until the block ends. ready: an address that answers when it is up."""
    with (cwd / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=cwd, stdout=log, stderr=log)
        try:
            line.wait_until(lambda: process.poll() is not None or fetched(ready) is not None, 30)
            assert process.poll() is None, (cwd / "log").read_text()
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)


def fetched(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.read()
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except OSError:
        return None


def asked(prometheus: str, query: str) -> list[Any]:
    told = fetched(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    assert told is not None, query
    return json.loads(told)["data"]["result"]


def work_of_a_day(service, served) -> None:
    """Images of every decision, looks of two people at each doubtful one, an audit, a drift watch that ran."""
    client = served.client()
    for number in range(48):
        client.inspect(line.png((20, 20, 150, 250)[number % 4], seed=number), f"W{number}", number % 4)
    client.close()
    for name in ("ann", "bob"):
        who = Identity(name=name, role=Role.INSPECTOR)
        while (look := service.review.queue.next_look(who, Order.OLDEST)) is not None:
            saying = Saying(choice=Choice.PASS)
            service.review.verdicts.give(who, look.item.id, saying, key=f"{name}-{look.item.id}")
    options, database = WatchOptions(drift=DriftOptions(baseline_groups=8)), service.record.database
    reference = Reference(
        names=tuple("abcd"),
        scores=np.array([0.1, 0.4, 0.5, 0.9]),
        reconstruction_errors=np.ones(4),
        latents=np.zeros((4, 128), np.float32),
    )
    week = options.week.model_copy(update={"least_images": 5})
    found = find_drift(database, options.model_copy(update={"week": week}), reference)
    conclude(database, "drift", found.findings, drift_figures(found))
    bound, _, findings = find_escapes(database, options, clock_ms() - DAY_MS, clock_ms() + 1)
    conclude(database, "escape", findings, vars(bound))


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Iterator[tuple[str, line.Served, list[tuple[str, Any]]]]:
    """A service with Prometheus and Alertmanager beside it, as deployed but faster; and who was told what."""
    prometheus, alertmanager = (
        program("prometheus", "prometheus"),
        program("prometheus-alertmanager", "prometheus-alertmanager"),
    )
    folder = tmp_path_factory.mktemp("watched")
    review = ReviewOptions(double_share=1, blind_share=0, audit_share=1, known_share=0)
    settings = ServiceSettings(products={"line": ProductOptions(num_points=4)}, review=review)
    told: list[tuple[str, Any]] = []

    def hear(path: str, body: bytes) -> bytes:
        if body:
            told.append((path, json.loads(body)))
        return b"ok"

    with (
        line.a_service(folder / "home", None, settings) as service,
        line.listening(service) as served,
        answering(hear) as heard,
        answering(lambda _path, _body: TRITONS) as triton,
    ):
        config = yaml.safe_load((WATCH / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        am_port, pm_port = free_port(), free_port()
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{am_port}"]
        for job, target in zip(config["scrape_configs"], (served.url[7:], f"127.0.0.1:{triton}"), strict=True):
            job["static_configs"][0]["targets"] = [target]
        for name in ("prometheus", "alertmanager"):
            (folder / name).mkdir()
        (folder / "prometheus" / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "prometheus" / "waferlens.rules.yml").write_text((WATCH / "waferlens.rules.yml").read_text())
        routes = (WATCH / "alertmanager.yml").read_text().replace("127.0.0.1:9095", f"127.0.0.1:{heard}")
        routes = re.sub(r"group_wait: \S+", "group_wait: 1s", routes)
        routes = re.sub(r"group_interval: \S+", "group_interval: 2s", routes)
        (folder / "alertmanager" / "am.yml").write_text(routes)
        address = f"http://127.0.0.1:{pm_port}"
        with (
            started(
                *(alertmanager, "--config.file=am.yml", "--storage.path=data"),
                *(f"--web.listen-address=127.0.0.1:{am_port}", "--cluster.listen-address="),
                cwd=folder / "alertmanager",
                ready=f"http://127.0.0.1:{am_port}/-/ready",
            ),
            started(
                *(prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data"),
                f"--web.listen-address=127.0.0.1:{pm_port}",
                cwd=folder / "prometheus",
                ready=f"{address}/-/ready",
            ),
        ):
            line.wait_until(lambda: asked(address, 'waferlens_stage_seconds_count{stage="request"} == 0'), 30)
            work_of_a_day(service, served)
            service.figures.refresh(at_once=True)
            line.wait_until(lambda: asked(address, "rate(waferlens_inspections_total[1m]) > 0"), 30)
            time.sleep(3)
            yield address, served, told


@pytest.mark.slow
@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_a_dashboard_answers_with_data(watched, query):
    found = asked(watched[0], query)
    assert found, query
    assert any(sample["value"][1] != "NaN" for sample in found), query


@pytest.mark.slow
def test_an_alarm_of_the_watch_arrives_at_alertmanager_and_in_the_api_and_leaves_both(watched):
    _, served, told = watched
    finding = Finding(
        kind=AlarmKind.NOVEL, key="crowd", title="a new kind", detail={}, onset_ms=clock_ms(), at_ms=clock_ms()
    )
    (seq,) = conclude(served.service.record.database, "novel", [finding])
    served.service.figures.refresh(at_once=True)

    def heard(status: str) -> bool:
        return any(
            alert["labels"]["alertname"] == "WatchAlarm"
            and alert["labels"]["kind"] == "novel"
            and alert["status"] == status
            for path, body in list(told)
            if path == "/ticket"
            for alert in body["alerts"]
        )

    line.wait_until(lambda: heard("firing"), 40)
    engineer = served.client(Role.ENGINEER)
    assert [a["title"] for a in engineer.get("/api/v1/alarms") if a["seq"] == seq] == ["a new kind"]
    assert engineer.ask("POST", f"/api/v1/alarms/{seq}/clear", b"{}").status == 200
    assert all(a["seq"] != seq for a in engineer.get("/api/v1/alarms"))
    engineer.close()
    served.service.figures.refresh(at_once=True)
    line.wait_until(lambda: heard("resolved"), 60)


@pytest.mark.slow
def test_a_replica_that_cannot_infer_is_told_to_who_is_on_call(watched):
    address, served, _ = watched
    served.service.pool.ready = False
    try:
        line.wait_until(
            lambda: any(
                alert["labels"]["alertname"] == "NotReady"
                for alert in json.loads(fetched(f"{address}/api/v1/alerts") or b"{}")["data"]["alerts"]
            ),
            20,
        )
    finally:
        served.service.pool.ready = True

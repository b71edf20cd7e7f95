"""Alerts and dashboards with the real programs: rules tested by promtool, every query asked of a Prometheus that
scraped a service, an alert seen arriving at an Alertmanager and leaving it."""

from __future__ import annotations

import json
import runpy
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from beside import ALERTS, RULES, WATCH, Beside, prometheus_beside
from deploy_files import DEPLOY

import line
from loopback import answering
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

MADE = runpy.run_path(str(DEPLOY / "grafana" / "dashboards.py"), run_name="made")
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
def watched(tmp_path_factory) -> Iterator[tuple[Beside, line.Served]]:
    """A service at work, with Prometheus and Alertmanager beside it."""
    folder = tmp_path_factory.mktemp("watched")
    review = ReviewOptions(double_share=1, blind_share=0, audit_share=1, known_share=0)
    settings = ServiceSettings(products={"line": ProductOptions(num_points=4)}, review=review)
    with (
        line.a_service(folder / "home", None, settings) as service,
        line.listening(service) as served,
        answering(lambda _path, _body: TRITONS) as triton,
        prometheus_beside(folder, [[served.url[7:]], [f"127.0.0.1:{triton}"]]) as beside,
    ):
        line.wait_until(lambda: beside.asked('waferlens_stage_seconds_count{stage="request"} == 0'), 30)
        work_of_a_day(service, served)
        service.figures.refresh(at_once=True)
        line.wait_until(lambda: beside.asked("rate(waferlens_inspections_total[1m]) > 0"), 30)
        time.sleep(3)
        yield beside, served


@pytest.mark.slow
@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_a_dashboard_answers_with_data(watched, query):
    found = watched[0].asked(query)
    assert found, query
    assert any(sample["value"][1] != "NaN" for sample in found), query


@pytest.mark.slow
def test_an_alarm_of_the_watch_arrives_at_alertmanager_and_in_the_api_and_leaves_both(watched):
    beside, served = watched
    finding = Finding(
        kind=AlarmKind.NOVEL, key="crowd", title="a new kind", detail={}, onset_ms=clock_ms(), at_ms=clock_ms()
    )
    (seq,) = conclude(served.service.record.database, "novel", [finding])
    served.service.figures.refresh(at_once=True)

    def heard(status: str) -> bool:
        told = beside.heard("WatchAlarm", status)
        return any(path == "/ticket" and alert["labels"]["kind"] == "novel" for path, alert in told)

    line.wait_until(lambda: heard("firing"), 40)
    engineer = served.client(Role.ENGINEER)
    assert [a["title"] for a in engineer.get("/api/v1/alarms") if a["seq"] == seq] == ["a new kind"]
    assert engineer.ask("POST", f"/api/v1/alarms/{seq}/clear", b"{}").status == 200
    assert all(a["seq"] != seq for a in engineer.get("/api/v1/alarms"))
    engineer.close()
    served.service.figures.refresh(at_once=True)
    line.wait_until(lambda: heard("resolved"), 60)

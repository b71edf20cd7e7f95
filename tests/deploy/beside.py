"""Prometheus and Alertmanager beside a service, as deployed but faster."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from deploy_files import DEPLOY

import line
from loopback import answering, free_ports
from programs import program

WATCH = DEPLOY / "prometheus"
RULES = yaml.safe_load((WATCH / "waferlens.rules.yml").read_text())
ALERTS = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]


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


class Beside:
    """Where Prometheus answers, and what Alertmanager told whom: (path, its message)."""

    def __init__(self, prometheus: str) -> None:
        self.prometheus, self.told = prometheus, list[tuple[str, Any]]()

    def asked(self, query: str) -> list[Any]:
        """What a query answers."""
        told = fetched(f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        assert told is not None, query
        return json.loads(told)["data"]["result"]

    def is_firing(self, alert: str, instance: str | None = None) -> bool:
        """Whether Prometheus has the alert firing (of that instance alone, HOST:PORT)."""
        told = json.loads(fetched(f"{self.prometheus}/api/v1/alerts") or b'{"data": {"alerts": []}}')
        return any(
            _is_of(each["labels"], alert, instance) and each["state"] == "firing"
            for each in told["data"]["alerts"]
        )

    def heard(self, alert: str, status: str, instance: str | None = None) -> list[tuple[str, Any]]:
        """(whom, the alert) for each time that Alertmanager told somebody (of that instance alone)."""
        return [
            (path, each)
            for path, body in list(self.told)
            for each in body["alerts"]
            if _is_of(each["labels"], alert, instance) and each["status"] == status
        ]


def _is_of(labels: dict[str, str], alert: str, instance: str | None) -> bool:
    return labels["alertname"] == alert and instance in (None, labels.get("instance"))


@contextmanager
def prometheus_beside(folder: Path, targets: list[list[str]], rules: str | None = None) -> Iterator[Beside]:
    """Both programs, scraping every second.

    targets: of each job of the deployed configuration, HOST:PORT each. rules: instead of the deployed ones.
    """
    prometheus, alertmanager = (
        program("prometheus", "prometheus"),
        program("prometheus-alertmanager", "prometheus-alertmanager"),
    )
    am_port, pm_port = free_ports(2)
    beside = Beside(f"http://127.0.0.1:{pm_port}")

    def hear(path: str, body: bytes) -> bytes:
        if body:
            beside.told.append((path, json.loads(body)))
        return b"ok"

    config = yaml.safe_load((WATCH / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{am_port}"]
    for job, there in zip(config["scrape_configs"], targets, strict=True):
        job["static_configs"][0]["targets"] = there
    for name in ("prometheus", "alertmanager"):
        (folder / name).mkdir(parents=True)
    (folder / "prometheus" / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "prometheus" / "waferlens.rules.yml").write_text(
        rules or (WATCH / "waferlens.rules.yml").read_text()
    )
    with answering(hear) as heard:
        routes = (WATCH / "alertmanager.yml").read_text().replace("127.0.0.1:9095", f"127.0.0.1:{heard}")
        routes = re.sub(r"group_wait: \S+", "group_wait: 1s", routes)
        routes = re.sub(r"group_interval: \S+", "group_interval: 2s", routes)
        (folder / "alertmanager" / "am.yml").write_text(routes)
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
                ready=f"{beside.prometheus}/-/ready",
            ),
        ):
            yield beside

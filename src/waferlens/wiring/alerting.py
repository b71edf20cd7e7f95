"""Prometheus and Alertmanager beside a service for as long as a block runs, where they are installed.

The rules are those that are deployed; the service is scraped every second, so that a demo need not wait.
Everything listens on loopback. Where a program or the rules are missing, there is nothing, and that is said.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

RULES_NAME = "waferlens.rules.yml"
_READY_SECONDS, _GLANCE_SECONDS = 15.0, 0.2
_PROMETHEUS = """global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ['{rules}']
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}
scrape_configs: [{{job_name: waferlens, static_configs: [{{targets: ['{service}']}}]}}]
"""
_ALERTMANAGER = "{route: {receiver: nobody, group_wait: 1s}, receivers: [{name: nobody}]}\n"


@dataclass(frozen=True, kw_only=True)
class Alerting:
    """A running Alertmanager. url: where it listens."""

    url: str

    def firing(self) -> list[str]:
        """The alerts that arrived and hold, each with its kind where it has one."""
        told = _fetched(f"{self.url}/api/v2/alerts?active=true")
        alerts = [] if told is None else json.loads(told)
        return sorted(" ".join((e["labels"]["alertname"], e["labels"].get("kind", ""))).strip() for e in alerts)

    def wait_for(self, wanted: set[str], seconds: float) -> list[str]:
        """The alerts that hold once all of these do, or after so many seconds."""
        until = time.monotonic() + seconds
        while not wanted <= set(found := self.firing()) and time.monotonic() < until:
            time.sleep(_GLANCE_SECONDS)
        return found


@contextmanager
def alerting_beside(service_url: str, rules: Path | None) -> Iterator[Alerting | None]:
    """Both programs beside the service at this address. None without rules, or where one is not installed."""
    prometheus, alertmanager = shutil.which("prometheus"), shutil.which("prometheus-alertmanager")
    if prometheus is None or alertmanager is None or rules is None or not rules.is_file():
        yield None
        return
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="waferlens-alerting-")))
        port, own_port = _free_port(), _free_port()
        (folder / "alertmanager.yml").write_text(_ALERTMANAGER, encoding="utf-8")
        service = service_url.rpartition("/")[2]
        told = _PROMETHEUS.format(rules=rules.resolve(), alertmanager=port, service=service)
        (folder / "prometheus.yml").write_text(told, encoding="utf-8")
        for words, listens in (
            (
                [alertmanager, "--config.file=alertmanager.yml", "--storage.path=am", "--cluster.listen-address="],
                port,
            ),
            ([prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data"], own_port),
        ):
            running.enter_context(_started([*words, f"--web.listen-address=127.0.0.1:{listens}"], folder))
        ready = all(_ready(f"http://127.0.0.1:{each}/-/ready") for each in (port, own_port))
        yield Alerting(url=f"http://127.0.0.1:{port}") if ready else None


@contextmanager
def _started(words: list[str], folder: Path) -> Iterator[None]:
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def _ready(url: str) -> bool:
    until = time.monotonic() + _READY_SECONDS
    while _fetched(url) is None:
        if time.monotonic() > until:
            return False
        time.sleep(_GLANCE_SECONDS)
    return True


def _fetched(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            content: bytes = reply.read()
            return content
    except (urllib.error.URLError, OSError):
        return None


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])

"""The service's metrics, in a registry of their own. Rates and quantiles are the monitoring system's work."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from waferlens.errors import WaferlensError
from waferlens.records import DecisionKind

_LOG = logging.getLogger("waferlens.alarm")
_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.025, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5)
_SCORES = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 20.0, 50.0)


class ServiceMetrics:
    """Counts what happens; a ``Watcher`` of the inspection service."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._inspections = Counter(
            "waferlens_inspections", "Images answered, by decision.", ["decision"], registry=registry
        )
        self._alarms = Counter(
            "waferlens_alarms", "What went wrong and a person should hear of.", ["failure"], registry=registry
        )
        self._stages = Histogram(
            "waferlens_stage_seconds",
            "Time of each stage of an image.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._scores = Histogram(
            "waferlens_anomaly_score",
            "Calibrated scores; higher is more anomalous.",
            buckets=_SCORES,
            registry=registry,
        )
        self._requests = Counter(
            "waferlens_requests", "Answers, by route and status.", ["method", "route", "status"], registry=registry
        )
        for kind in DecisionKind:
            self._inspections.labels(str(kind))

    def stage(self, name: str, seconds: float) -> None:
        """See ``Watcher.stage``."""
        self._stages.labels(name).observe(seconds)

    def decided(self, kind: DecisionKind, score: float | None) -> None:
        """See ``Watcher.decided``."""
        self._inspections.labels(str(kind)).inc()
        if score is not None:
            self._scores.observe(score)

    def alarm(self, failure: str, detail: str) -> None:
        """See ``Watcher.alarm``."""
        self._alarms.labels(failure).inc()
        _LOG.error("%s: %s", failure, detail)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """An HTTP answer was sent. route: its template, so that ids make no series."""
        self._requests.labels(method, route, str(status)).inc()
        self._stages.labels("request" if route == "/api/v1/inspect" else "other requests").observe(seconds)

    def gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Show a number that is read when somebody looks."""

        def read() -> float:
            try:
                return value()
            except (WaferlensError, OSError):  # a lost disk must not take the other metrics along
                return math.nan

        Gauge(name, help_text, registry=self._registry).set_function(read)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)

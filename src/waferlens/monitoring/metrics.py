"""The service's metrics, in a registry of their own. Rates and quantiles are the monitoring system's work.

Every name, with its labels, is explained in docs/monitoring.md; a test compares the two. No label takes what a
caller sends: routes are templates, products beyond the first few dozen are ``other``.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificate
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from waferlens.errors import WaferlensError
from waferlens.monitoring.traces import Traces
from waferlens.records import DecisionKind

_LOG = logging.getLogger("waferlens.alarm")
_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.025, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5)
_SCORES = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 20.0, 50.0)
_MOST_PRODUCTS = 32
_INSPECT, _OTHER = "request", "other requests"


class ServiceMetrics:
    """Counts what happens; a ``Watcher`` of the inspection service.

    traces: where stages go beside the histogram; None where nobody collects them.
    """

    def __init__(self) -> None:
        self.traces: Traces | None = None
        registry = self.registry = CollectorRegistry()
        self._inspections = Counter(
            "waferlens_inspections", "Images answered, by decision and product.", ["decision", "product"],
            registry=registry,
        )  # fmt: skip
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
        self._model = Gauge(
            "waferlens_model_info", "The model that runs: 1.", ["model_version"], registry=registry
        )
        self._last_image = Gauge(
            "waferlens_last_image_timestamp_seconds", "When the last image was answered.", registry=registry
        )
        for stage in (_INSPECT, _OTHER):
            self._stages.labels(stage)  # from zero on, so that what a first image took is a rise
        self._products: set[str] = set()
        self._last_image.set_to_current_time()  # from the start on, silence counts

    def stage(self, name: str, seconds: float, began_ns: int | None = None) -> None:
        """See ``Watcher.stage``."""
        self._stages.labels(name).observe(seconds)
        if self.traces is not None:
            self.traces.stage(name, seconds, began_ns)

    def decided(self, kind: DecisionKind, score: float | None, product: str) -> None:
        """See ``Watcher.decided``."""
        self._inspections.labels(str(kind), self._bounded(product)).inc()
        self._last_image.set_to_current_time()
        if score is not None:
            self._scores.observe(score)

    def alarm(self, failure: str, detail: str) -> None:
        """See ``Watcher.alarm``."""
        self._alarms.labels(failure).inc()
        _LOG.error("%s: %s", failure, detail)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """An HTTP answer was sent. route: its template, so that ids make no series."""
        self._requests.labels(method, route, str(status)).inc()
        self._stages.labels(_INSPECT if route == "/api/v1/inspect" else _OTHER).observe(seconds)

    def running(self, model_version: str) -> None:
        """The model that new images go to."""
        self._model.clear()
        self._model.labels(model_version).set(1)

    def begin_products(self, names: list[str]) -> None:
        """Products that are known beforehand start at zero, so that a first REJECT is a rise."""
        for name in names[:_MOST_PRODUCTS]:
            for kind in DecisionKind:
                self._inspections.labels(str(kind), self._bounded(name))

    def gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Show a number that is read when somebody looks."""

        def read() -> float:
            try:
                return value()
            except (WaferlensError, OSError):  # a lost disk must not take the other metrics along
                return math.nan

        Gauge(name, help_text, registry=self.registry).set_function(read)

    def watch_machine(self, home: Path) -> None:
        """The disk that the record is on, and the machine's clock."""
        self.gauge("waferlens_disk_free_bytes", "Free where the home is.", lambda: shutil.disk_usage(home).free)
        self.gauge("waferlens_disk_size_bytes", "Size of that disk.", lambda: shutil.disk_usage(home).total)
        self.gauge("waferlens_clock_seconds", "The machine's own time.", time.time)

    def watch_certificate(self, certificate: Path) -> None:
        """When the certificate (a PEM file) ends; read anew each time, so that a renewed one is seen."""
        self.gauge(
            "waferlens_certificate_end_timestamp_seconds",
            "When the service's certificate ends.",
            lambda: load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp(),
        )

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

    def _bounded(self, product: str) -> str:
        if product not in self._products:
            if len(self._products) >= _MOST_PRODUCTS:
                return "other"
            self._products.add(product)
        return product

"""Figures of the record as metrics: read now and then beside the line, never while somebody scrapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Gauge

RECORD_GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "waferlens_review_waiting": ("Looks and arbitrations that wait for people.", ()),
    "waferlens_review_oldest_seconds": ("Age of the oldest that waits; 0 where nothing does.", ()),
    "waferlens_review_looks": ("Looks of the last 7 days.", ()),
    "waferlens_review_agreement_ratio": ("Pairs of people who said the same, of the last 7 days.", ()),
    "waferlens_review_overridden_ratio": (
        "Images that people settled as normal, of those settled in the last 7 days, by decision.",
        ("decision",),
    ),
    "waferlens_audit_images": ("PASS images that blind audits settled in the last 30 days.", ()),
    "waferlens_audit_escapes": ("Of these, defective.", ()),
    "waferlens_audit_last_timestamp_seconds": ("When an audit was settled last; 0: never.", ()),
    "waferlens_escape_rate_bound": ("Defective of PASS images, at most, with the configured confidence.", ()),
    "waferlens_watch_alarms_open": ("Alarms of the watch that nobody cleared, by kind.", ("kind",)),
    "waferlens_watch_last_run_timestamp_seconds": ("When a part of the watch ran last.", ("part",)),
    "waferlens_drift_ks_distance": (
        "KS distance of this week's PASS scores from the reference.",
        ("station", "product"),
    ),
    "waferlens_drift_ks_p_value": ("Its p-value, adjusted over all streams.", ("station", "product")),
    "waferlens_drift_shift": (
        "A statistic of the last day's wafers, in deviations of its baseline.",
        ("station", "product", "statistic"),
    ),
    "waferlens_rollout_state": ("1 for what is being tried now: none, shadow or canary.", ("state",)),
    "waferlens_rollout_version_info": (
        "1 for the version that is champion, challenger or previous.",
        ("role", "model_version"),
    ),
    "waferlens_shadow_waiting": ("Images that the challenger has still to score.", ()),
    "waferlens_shadow_lag_seconds": ("Age of the oldest of them; 0 where none waits.", ()),
    "waferlens_canary_share": ("Of wafers that a canary decides on; 0 outside a canary.", ()),
    "waferlens_canary_wafers": ("Wafers since the canary began, by who decided and how.", ("role", "decision")),
}
"""Name to help and labels. docs/monitoring.md explains each."""


@dataclass(frozen=True)
class Sample:
    """One value of one of ``RECORD_GAUGES``."""

    name: str
    value: float
    labels: tuple[str, ...] = field(default=())


class RecordGauges:
    """The gauges of ``RECORD_GAUGES`` in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges = {
            name: Gauge(name, text, labels, registry=registry) for name, (text, labels) in RECORD_GAUGES.items()
        }

    def show(self, samples: Iterable[Sample]) -> None:
        """Replace every value that stands there; a labelled series that is not among them goes."""
        for name, gauge in self._gauges.items():
            if RECORD_GAUGES[name][1]:
                gauge.clear()
        for sample in samples:
            gauge = self._gauges[sample.name]
            (gauge.labels(*sample.labels) if sample.labels else gauge).set(sample.value)

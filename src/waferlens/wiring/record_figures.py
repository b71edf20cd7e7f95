"""The figures of the record for the metrics: counted every half minute beside the line."""

from __future__ import annotations

import time
from collections.abc import Iterator

from waferlens.monitoring.record_metrics import RecordGauges, Sample
from waferlens.storage.alarms import last_runs, open_by_kind
from waferlens.storage.database import Database
from waferlens.storage.watched import last_audit_ms
from waferlens.wiring.review import Review
from waferlens.wiring.rollout_figures import RolloutFigures

_EVERY_SECONDS = 30.0
_DAYS = 7.0


class RecordFigures:
    """Keeps the gauges of the record fresh."""

    def __init__(self, database: Database, review: Review, gauges: RecordGauges, rollout: RolloutFigures) -> None:
        self._database, self._review, self._gauges, self._rollout = database, review, gauges, rollout
        self._due = 0.0

    def refresh(self, *, at_once: bool = False) -> None:
        """Count again if it is time. Raises DatabaseLost: what was shown stays."""
        if not at_once and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _EVERY_SECONDS
        self._gauges.show(list(self._samples()))

    def _samples(self) -> Iterator[Sample]:
        with self._database.reading() as connection:
            runs, is_open, audited_ms = last_runs(connection), open_by_kind(connection), last_audit_ms(connection)
        yield Sample("waferlens_audit_last_timestamp_seconds", audited_ms / 1000)
        yield from self._of_review()
        yield from self._rollout.samples()
        for kind, num in is_open.items():
            yield Sample("waferlens_watch_alarms_open", num, (str(kind),))
        for part, (ran_ms, _) in runs.items():
            yield Sample("waferlens_watch_last_run_timestamp_seconds", ran_ms / 1000, (part,))
        drift = runs.get("drift", (0, {}))[1]
        for station, product, distance, p_value in drift.get("week", ()):
            yield Sample("waferlens_drift_ks_distance", distance, (station, product))
            yield Sample("waferlens_drift_ks_p_value", p_value, (station, product))
        for station, product, statistic, value in drift.get("shifts", ()):
            yield Sample("waferlens_drift_shift", value, (station, product, statistic))
        escapes = runs.get("escape", (0, {}))[1]
        yield Sample("waferlens_audit_images", escapes.get("num_audits", 0))
        yield Sample("waferlens_audit_escapes", escapes.get("num_escapes", 0))
        yield Sample("waferlens_escape_rate_bound", escapes.get("rate_bound", 1.0))

    def _of_review(self) -> Iterator[Sample]:
        waiting = self._review.queue.waiting()
        age = 0.0 if waiting.oldest_ms is None else max(0.0, time.time() - waiting.oldest_ms / 1000)
        yield Sample("waferlens_review_waiting", waiting.num_looks + waiting.num_arbitrations)
        yield Sample("waferlens_review_oldest_seconds", age)
        said = self._review.figures.line(self._review.figures.last_days(_DAYS))
        yield Sample("waferlens_review_looks", said.num_looks)
        agreed = said.people.cohen.agreement
        if agreed is not None:
            yield Sample("waferlens_review_agreement_ratio", agreed.value)
        for kind, rate in said.overrides.items():
            if rate.num_trials:
                yield Sample("waferlens_review_overridden_ratio", rate.num_events / rate.num_trials, (str(kind),))

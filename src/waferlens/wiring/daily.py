"""The daily report, counted from the record of a home."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import numpy as np

from waferlens.errors import DataError
from waferlens.monitoring.availability import availability
from waferlens.monitoring.daily import AlarmLine, Figures, Share, report_sections
from waferlens.monitoring.drift_page import moment
from waferlens.monitoring.escape import EscapeBound
from waferlens.monitoring.options import WatchOptions
from waferlens.monitoring.pages import write_page
from waferlens.records import DecisionKind
from waferlens.review.figures import Period
from waferlens.storage.alarms import StoredAlarm, alarms_between
from waferlens.storage.inspections import hourly_counts
from waferlens.storage.stored import DAY_MS
from waferlens.storage.watched import busy_minutes, latencies
from waferlens.wiring.escapes import find_escapes
from waferlens.wiring.record import Record
from waferlens.wiring.review import Review

_PERIODS = (("day", 1), ("week", 7), ("month", 30))


def write_daily_report(record: Record, review: Review, options: WatchOptions, until_ms: int, out: Path) -> Path:
    """The report of the day that ends at ``until_ms``, with the week and the month until then; the file's path.

    Raises DatabaseLost, OSError.
    """
    day, week, month = (
        figures_of(record, review, options, name, until_ms - days * DAY_MS, until_ms) for name, days in _PERIODS
    )
    date = time.strftime("%Y-%m-%d", time.gmtime((until_ms - 1) / 1000))
    path = out / f"daily-{date}.html"
    lead = f"The 24 hours until {moment(until_ms)} UTC. Intervals are exact, 95 %."
    write_page(path, f"The line on {date}", report_sections(day, week, month), lead)
    return path


def figures_of(
    record: Record, review: Review, options: WatchOptions, name: str, since_ms: int, until_ms: int
) -> Figures:
    """Everything that the report shows of one period. Raises DatabaseLost."""
    with record.database.reading() as connection:
        hours = hourly_counts(connection, since_ms=since_ms, until_ms=until_ms)
        minutes = busy_minutes(connection, since_ms, until_ms)
        stages = latencies(connection, since_ms, until_ms)
        raised = alarms_between(connection, since_ms, until_ms)
    decisions = Counter[DecisionKind]()
    for hour in hours:
        decisions[hour.decision] += hour.num_inspections
    said = review.figures.line(Period(since_ms=since_ms, until_ms=until_ms))
    waiting, reference = review.queue.waiting(), said.reference
    pairs = said.people.cohen.agreement
    num_pairs = said.people.cohen.num_subjects
    wrong = reference.missed.num_events + reference.false_alarms.num_events
    return Figures(
        name=name,
        since_ms=since_ms,
        until_ms=until_ms,
        decisions=decisions,
        failed=Share(num=sum(m[2] for m in minutes), total=sum(m[1] for m in minutes)),
        overrides={
            kind: Share(num=rate.num_events, total=rate.num_trials) for kind, rate in said.overrides.items()
        },
        two_people=Share(num=0 if pairs is None else round(pairs.value * num_pairs), total=num_pairs),
        known_answers=_right(wrong, reference.missed.num_trials + reference.false_alarms.num_trials),
        escapes=_escapes(record, options, since_ms, until_ms),
        latency_ms=_quantiles(stages),
        availability=availability(minutes, target=options.availability_target),
        num_waiting=waiting.num_looks + waiting.num_arbitrations,
        oldest_seconds=None if waiting.oldest_ms is None else max(0.0, (until_ms - waiting.oldest_ms) / 1000),
        alarms=[_line(alarm) for alarm in raised],
    )


def _right(wrong: int, total: int) -> Share:
    return Share(num=total - wrong, total=total)


def _escapes(record: Record, options: WatchOptions, since_ms: int, until_ms: int) -> EscapeBound | None:
    try:
        return find_escapes(record.database, options, since_ms, until_ms)[0]
    except DataError:
        return None


def _quantiles(stages: list[str]) -> tuple[float, float, float] | None:
    """p50, p95 and p99 of everything that happens to an image until it is recorded, ms."""
    if not stages:
        return None
    totals = [sum(json.loads(each).values()) for each in stages]
    p50, p95, p99 = np.quantile(totals, [0.5, 0.95, 0.99])
    return float(p50), float(p95), float(p99)


def _line(alarm: StoredAlarm) -> AlarmLine:
    if alarm.cleared_ms is not None:
        state = f"cleared by {alarm.cleared_by}"
    elif alarm.acknowledged_ms is not None:
        state = f"seen by {alarm.acknowledged_by}"
    else:
        state = "open"
    return AlarmLine(raised_ms=alarm.raised_ms, kind=str(alarm.kind), title=alarm.title, state=state)

"""The daily report, counted from the record of a home."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from waferlens.errors import DataError, OptionsError
from waferlens.monitoring.availability import availability
from waferlens.monitoring.daily import AlarmLine, Figures, Share, report_sections
from waferlens.monitoring.drift_tables import moment
from waferlens.monitoring.escape import EscapeBound
from waferlens.monitoring.mail import report_mail, send_mail
from waferlens.monitoring.options import WatchOptions
from waferlens.monitoring.pages import Section, as_noted, render_page
from waferlens.records import DecisionKind
from waferlens.review.figures import Period
from waferlens.settings.service import ReportOptions, mail_password
from waferlens.storage.alarms import StoredAlarm, alarms_between
from waferlens.storage.blobs import write_atomically
from waferlens.storage.inspections import hourly_counts
from waferlens.storage.stored import DAY_MS
from waferlens.storage.watched import busy_minutes, latencies
from waferlens.wiring.escapes import find_escapes
from waferlens.wiring.record import Record
from waferlens.wiring.review import Review

_PERIODS = (("day", 1), ("week", 7), ("month", 30))


@dataclass(frozen=True, kw_only=True)
class DailyReport:
    """The report of one day. date: YYYY-MM-DD, UTC. page: as HTML."""

    date: str
    title: str
    lead: str
    sections: list[Section]

    @property
    def page(self) -> str:
        """One file that asks nothing of the network."""
        return render_page(self.title, self.sections, self.lead)

    @property
    def name(self) -> str:
        """Of its file."""
        return f"daily-{self.date}.html"

    def words(self) -> str:
        """The first table and the alarms, for a mail that is read before the page is opened."""
        line, alarms = self.sections[0], self.sections[1]
        day = [f"{row[0]}: {row[1]}" for row in line.rows]
        raised = [f"{row[0]}  {row[1]}: {row[2]} ({row[3]})" for row in alarms.rows] or ["none"]
        return "\n".join([self.lead, "", *day, "", "Alarms of the day:", *raised, "", "The page is attached."])

    def figures(self) -> dict[str, Any]:
        """For the station."""
        return {"title": self.title, "lead": self.lead, "sections": as_noted(self.sections)}


def daily_report(record: Record, review: Review, options: WatchOptions, until_ms: int) -> DailyReport:
    """The report of the day that ends at ``until_ms``, with the week and the month until then.

    Raises DatabaseLost.
    """
    day, week, month = (
        figures_of(record, review, options, name, until_ms - days * DAY_MS, until_ms) for name, days in _PERIODS
    )
    date = time.strftime("%Y-%m-%d", time.gmtime((until_ms - 1) / 1000))
    return DailyReport(
        date=date,
        title=f"The line on {date}",
        lead=f"The 24 hours until {moment(until_ms)} UTC. Intervals are exact, 95 %.",
        sections=report_sections(day, week, month),
    )


def write_daily_report(report: DailyReport, out: Path) -> Path:
    """Put the report in a folder, whole or not at all; the file's path. Raises OSError."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / report.name
    write_atomically(path, report.page.encode())
    return path


def deliver_report(report: DailyReport, options: ReportOptions, out: Path | None = None) -> list[str]:
    """Drop the report in the folder and mail it, as configured; out: another folder too. Where it went.

    Raises OptionsError where it would go nowhere, OSError, DeliveryFailed: what was dropped before stays.
    """
    folders = [folder for folder in (out, options.folder) if folder is not None]
    if not folders and options.mail is None:
        raise OptionsError("the report would go nowhere", expected="--out, or [report] in the home's service.toml")
    went = [str(write_daily_report(report, folder)) for folder in dict.fromkeys(folders)]
    if options.mail is not None:
        told = report_mail(
            options.mail, subject=report.title, text=report.words(), name=report.name, page=report.page
        )
        send_mail(options.mail, told, mail_password())
        went.append(f"mailed to {', '.join(options.mail.to)}")
    return went


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

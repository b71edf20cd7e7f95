"""The daily report: what a shift leader and a quality engineer look at each morning, with a week and a month
beside it.

Takes figures that were counted elsewhere; knows no record. Every rate comes with its interval and its count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from waferlens.decision.intervals import clopper_pearson
from waferlens.monitoring.availability import Availability
from waferlens.monitoring.drift_tables import moment
from waferlens.monitoring.escape import EscapeBound
from waferlens.monitoring.pages import Section
from waferlens.records import DecisionKind


@dataclass(frozen=True, kw_only=True)
class Share:
    """num of total, for a rate with its interval."""

    num: int
    total: int

    def told(self) -> str:
        """Percent with the exact 95 % interval and the counts."""
        if not self.total:
            return "nothing to count"
        low, high = clopper_pearson(self.num, self.total)
        return f"{self.num / self.total:.2%} [{low:.2%}, {high:.2%}], {self.num:,} of {self.total:,}"


@dataclass(frozen=True, kw_only=True)
class AlarmLine:
    """An alarm as the report shows it."""

    raised_ms: int
    kind: str
    title: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One period. decisions: images by what was decided. overrides: images that did not pass and people settled as
    normal, by decision. two_people: agreement of pairs. latency_ms: p50, p95, p99 of a request; None without any.
    """

    name: str
    since_ms: int
    until_ms: int
    decisions: Mapping[DecisionKind, int]
    failed: Share
    overrides: Mapping[DecisionKind, Share]
    two_people: Share
    known_answers: Share
    escapes: EscapeBound | None
    latency_ms: tuple[float, float, float] | None
    availability: Availability | None
    num_waiting: int
    oldest_seconds: float | None
    alarms: Sequence[AlarmLine]

    @property
    def num_images(self) -> int:
        """All that were inspected."""
        return sum(self.decisions.values())


def report_sections(day: Figures, week: Figures, month: Figures) -> list[Section]:
    """The report of one day with its roll-ups."""
    periods = (day, week, month)
    return [
        Section(
            title="The line",
            columns=("figure", *(f"{p.name}, from {moment(p.since_ms)} UTC" for p in periods)),
            rows=[(name, *(told(p) for p in periods)) for name, told in _LINES.items()],
        ),
        Section(
            title="Alarms of the day",
            columns=("raised", "kind", "what", "state"),
            rows=[(moment(a.raised_ms), a.kind, a.title, a.state) for a in day.alarms],
            nothing="None.",
        ),
        Section(title="Escapes", text=_escapes_in_words(month)),
        Section(
            title="Silences",
            text="Times without an image that lasted longer than half an hour. The record cannot tell an idle line"
            " from one that could not reach the service.",
            columns=("from", "minutes"),
            rows=[
                (moment(start * 60_000), f"{minutes:,}")
                for start, minutes in (day.availability.silences if day.availability else ())
            ],
            nothing="None.",
        ),
    ]


def _escapes_in_words(month: Figures) -> str:
    bound = month.escapes
    if bound is None:
        return "Nothing passed this month: there is nothing to audit."
    words = (
        f"{bound.num_audits:,} blind audits of PASS this month found {bound.num_escapes} escapes: at most"
        f" {bound.rate_bound:.3%} of the images that passed are defective, with {bound.confidence:.0%}"
        " confidence at every look at once."
    )
    if bound.false_negative_bound is not None:
        words += (
            f" Of all defects, at most {bound.false_negative_bound:.2%} escaped; the target is {bound.target:.2%}."
        )
    if bound.num_needed:
        words += f" To show the target takes {bound.num_needed:,} audits more, if they go on as these did."
    elif bound.num_needed is None:
        words += " No number of audits would show the target at the rate that was found."
    return words


def _decided(kind: DecisionKind, figures: Figures) -> str:
    return Share(num=figures.decisions.get(kind, 0), total=figures.num_images).told()


def _available(figures: Figures) -> str:
    told = figures.availability
    if told is None:
        return "no image came"
    kept = "met" if told.met else "NOT met"
    return (
        f"{told.share:.3%} [{told.low:.2%}, {told.high:.2%}] of {told.num_minutes:,} busy minutes, target"
        f" {told.target:.1%} {kept} ({told.num_bad} bad, {told.allowed_bad_minutes} allowed)"
    )


def _latency(figures: Figures) -> str:
    if figures.latency_ms is None:
        return "no image came"
    return " / ".join(f"{value:.1f}" for value in figures.latency_ms) + " ms"


def _backlog(figures: Figures) -> str:
    age = "" if figures.oldest_seconds is None else f", the oldest for {figures.oldest_seconds / 3600:.1f} h"
    return f"{figures.num_waiting:,} wait{age}"


def _bound(figures: Figures) -> str:
    told = figures.escapes
    return "not audited" if told is None else f"at most {told.rate_bound:.3%} of PASS ({told.num_audits:,} audits)"


_LINES: dict[str, Callable[[Figures], str]] = {
    "images": lambda p: f"{p.num_images:,}",
    "PASS": lambda p: _decided(DecisionKind.PASS, p),
    "REVIEW": lambda p: _decided(DecisionKind.REVIEW, p),
    "REJECT": lambda p: _decided(DecisionKind.REJECT, p),
    "failed, sent to people": lambda p: p.failed.told(),
    "false alarms: REJECT that people settled as normal": lambda p: _override(p, DecisionKind.REJECT),
    "REVIEW that people settled as normal": lambda p: _override(p, DecisionKind.REVIEW),
    "two people agree": lambda p: p.two_people.told(),
    "people agree with known answers": lambda p: p.known_answers.told(),
    "escapes, bound": _bound,
    "latency p50 / p95 / p99": _latency,
    "availability": _available,
    "review queue now": _backlog,
    "alarms raised": lambda p: f"{len(p.alarms)}",
}


def _override(figures: Figures, kind: DecisionKind) -> str:
    return figures.overrides.get(kind, Share(num=0, total=0)).told()

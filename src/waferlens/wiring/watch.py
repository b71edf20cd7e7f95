"""The watch over the record of a home: what drifts, what is new, which pattern wafers show, what escapes at most.

Every function reads one state, judges with ``monitoring``, and gives its result with the findings that are alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from waferlens.bundle.contents import Reference
from waferlens.errors import DataError
from waferlens.monitoring.drift import Drift, stream_names, watch_drift
from waferlens.monitoring.drift_tables import drift_series, drift_tables
from waferlens.monitoring.options import WatchOptions
from waferlens.monitoring.pages import as_noted
from waferlens.monitoring.points import PointShift, moved_points
from waferlens.monitoring.wafer_rows import (
    SeenImages,
    Statistic,
    WaferRows,
    learn_levels,
    point_columns,
    wafer_rows,
)
from waferlens.monitoring.weekly import Compared, compare_weeks
from waferlens.records import LATENT_DIM, DecisionKind
from waferlens.storage.alarms import AlarmKind, Finding, note_run, raise_alarm
from waferlens.storage.database import Database
from waferlens.storage.stored import DAY_MS, clock_ms
from waferlens.storage.watched import newest_model, seen_rows

WEEK_MS = 7 * DAY_MS


@dataclass(frozen=True, kw_only=True)
class DriftFound:
    """What the drift watch saw. rows: one a wafer; since_ms: end of the time that levels were learned from."""

    model_version: str
    num_images: int
    rows: WaferRows
    since_ms: int
    drifts: list[Drift]
    week: list[Compared]
    points: list[PointShift]
    findings: list[Finding] = field(default_factory=list)


def find_drift(
    database: Database, options: WatchOptions, reference: Reference | None = None, until_ms: int | None = None
) -> DriftFound:
    """Drift of the newest model's inspections up to now. reference: of its bundle, for the weekly test.

    Raises DataError when nothing was inspected, DatabaseLost.
    """
    until = clock_ms() + 1 if until_ms is None else until_ms
    images, version = read_images(database, round(until - options.look_back_days * DAY_MS), until)
    since = min(int(images.at_ms[0] + options.baseline_days * DAY_MS), int(np.median(images.at_ms)))
    settled = images.take(images.at_ms < since)
    levels = learn_levels(settled if len(settled) else images)
    rows = wafer_rows(images, levels)
    # Levels fit the images that they were learned from too well: streams learn their baselines from later ones.
    drifts = watch_drift(rows.take(rows.at_ms >= since), options.drift)
    last = images.take(images.at_ms >= max(since, until - WEEK_MS))
    week = [] if reference is None or not len(last) else _week(last, reference, options)
    points = _points(settled, last, options) if len(settled) and len(last) else []
    found = DriftFound(
        model_version=version,
        num_images=len(images),
        rows=rows,
        since_ms=since,
        drifts=drifts,
        week=week,
        points=points,
    )
    found.findings.extend(_drift_findings(found, until))
    return found


def _week(last: SeenImages, reference: Reference, options: WatchOptions) -> list[Compared]:
    cells = np.char.add(np.char.add(last.station, ", "), last.product)
    _, wafers = np.unique(last.wafer, return_inverse=True)
    weeks = {
        str(cell): (last.score[(cells == cell) & last.passed], wafers[(cells == cell) & last.passed])
        for cell in np.unique(cells)
    }
    highest = float(last.score[last.passed].max()) if last.passed.any() else np.inf
    return compare_weeks(
        weeks, reference.scores, options.week, np.nextafter(highest, np.inf), wafers_of(reference.names)
    )


def wafers_of(names: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.intp]] | None:
    """Number of each image's wafer, for names such as ``WF-000012-034.png``; None where names tell no wafers."""
    stems = [name.rpartition("-")[0] for name in names]
    if len(set(stems)) < 2 or not all(stems):
        return None
    return np.asarray(np.unique(stems, return_inverse=True)[1], dtype=np.intp)


def _points(settled: SeenImages, last: SeenImages, options: WatchOptions) -> list[PointShift]:
    levels = learn_levels(settled)
    names = [np.char.add(np.char.add(i.product, "/"), i.point.astype(np.str_)) for i in (settled, last)]
    before, now = ((point_columns(i, levels)[:, 0], n) for i, n in zip((settled, last), names, strict=True))
    return moved_points(before, now, options.points)


def read_images(database: Database, since_ms: int, until_ms: int) -> tuple[SeenImages, str]:
    """The newest model's inferred images of a period, and its version. Raises DataError when there is none."""
    with database.reading() as connection:
        version = newest_model(connection)
        rows = [] if version is None else list(seen_rows(connection, version, since_ms, until_ms))
    if version is None or not rows:
        raise DataError("nothing was inspected in this time", expected="at least one inferred image", found="none")
    columns = list(zip(*rows, strict=True))
    latents = np.frombuffer(b"".join(columns[9]), dtype="<f4").reshape(len(rows), -1)
    if latents.shape[1] != LATENT_DIM:
        raise DataError("latents of another length", expected=str(LATENT_DIM), found=str(latents.shape[1]))
    return SeenImages(
        wafer=np.array(columns[0]),
        station=np.array(columns[1]),
        product=np.array(columns[2]),
        point=np.array(columns[3], dtype=np.int64),
        at_ms=np.array(columns[4], dtype=np.int64),
        passed=np.array(columns[5]) == str(DecisionKind.PASS),
        score=np.array(columns[6], dtype=np.float64),
        error=np.array(columns[7], dtype=np.float64),
        brightness=np.array(columns[8], dtype=np.float64),
        latents=latents.astype(np.float32),
    ), version


def drift_figures(found: DriftFound) -> dict[str, Any]:
    """For the metrics: KS of every stream; where each statistic of the last day lies, in baseline deviations.

    For the station: what the page says in words and tables, and every stream over time.
    """
    rows, shifts = found.rows, []
    settled, last = rows.at_ms < found.since_ms, rows.at_ms >= rows.at_ms.max() - DAY_MS
    for station, product in stream_names(rows):
        own = (rows.station == station) & (rows.product == product)
        for column, statistic in enumerate(Statistic):
            normal, now = rows.values[own & settled, column], rows.values[own & last, column]
            normal, now = normal[np.isfinite(normal)], now[np.isfinite(now)]
            if len(normal) > 1 and len(now) and normal.std() > 0:
                value = (float(now.mean()) - float(normal.mean())) / float(normal.std())
                shifts.append([station, product, str(statistic), value])
    return {
        "week": [[*c.name.split(", ", 1), c.distance, c.adjusted_p] for c in found.week],
        "shifts": shifts,
        "sections": as_noted(drift_tables(found.drifts, found.week, found.points)),
        "series": drift_series(rows, found.since_ms),
        "drifts": [[d.raised_ms, list(d.statistics)] for d in found.drifts],
        "num_images": found.num_images,
        "model_version": found.model_version,
    }


def _drift_findings(found: DriftFound, at_ms: int) -> list[Finding]:
    findings = [
        Finding(
            kind=AlarmKind.DRIFT,
            key=f"{found.model_version}/{d.cause.scope}/{d.cause.name}/{d.onset_ms // DAY_MS}",
            title=f"drift: {d.told()}",
            detail={
                "scope": d.cause.scope,
                "name": d.cause.name,
                "statistics": list(d.statistics),
                "shift": d.shift,
            },
            onset_ms=d.onset_ms,
            at_ms=d.raised_ms,
        )
        for d in found.drifts
    ]
    findings += [
        Finding(
            kind=AlarmKind.WEEK,
            key=f"{found.model_version}/{c.name}",
            title=f"scores of {c.name} differ from the reference: D {c.distance:.2f}, p {c.adjusted_p:.1e}",
            detail={"distance": c.distance, "p_value": c.adjusted_p, "num_images": c.num_images},
            onset_ms=at_ms - WEEK_MS,
            at_ms=at_ms,
        )
        for c in found.week
        if c.alarm
    ]
    return findings + [
        Finding(
            kind=AlarmKind.POINT,
            key=f"{found.model_version}/{p.point}",
            title=f"inspection point {p.point} moved alone: score {p.shift:+.2f} ({p.effect:+.1f} deviations)",
            detail={"point": p.point, "shift": p.shift, "effect": p.effect, "p_value": p.adjusted_p},
            onset_ms=at_ms - WEEK_MS,
            at_ms=at_ms,
        )
        for p in found.points
    ]


def conclude(
    database: Database, part: str, findings: Sequence[Finding], figures: dict[str, Any] | None = None
) -> list[int]:
    """Make the findings of a part of the watch alarms, and note that it ran; the numbers of new alarms.

    figures: for the service's metrics, which read the last run. Raises DatabaseLost.
    """
    with database.writing() as connection:
        note_run(connection, part, clock_ms(), figures or {})
    new = []
    for finding in findings:
        with database.writing() as connection:
            seq, is_new = raise_alarm(connection, finding)
        if is_new:
            new.append(seq)
    return new

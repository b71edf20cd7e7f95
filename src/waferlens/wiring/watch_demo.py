"""Days of a line in minutes: the watch runs beside them by the fab's own clock, and its alarms come.

Real images of the synthetic fab through a real bundle into a real record. Each is inferred once and recorded as
the service would record it, at the fab's own time; the watch of ``waferlens monitor`` then runs every hour of the
fab, with the home's own options. Only the people are missing: no image of these days is queued for review. Knows
no HTTP.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from waferlens.bundle.contents import Reference, load_reference
from waferlens.decision.thresholds import Thresholds
from waferlens.errors import DataError
from waferlens.images.synth.fab import SyntheticFab
from waferlens.images.synth.wafer import lot_name, wafer_name
from waferlens.inspection.inspector import Inspector
from waferlens.monitoring.appearance import describe
from waferlens.monitoring.options import WatchOptions
from waferlens.records import DecisionKind, Inspection
from waferlens.storage.alarms import AlarmKind, alarms_of
from waferlens.storage.inspections import insert_inspection
from waferlens.storage.stored import DAY_MS, HOUR_MS, StoredInspection, clock_ms, latent_bytes, new_id
from waferlens.storage.watched import add_appearances
from waferlens.wiring.daily import daily_report
from waferlens.wiring.escapes import escape_figures, find_escapes
from waferlens.wiring.novelty import find_novel
from waferlens.wiring.patterns import find_signatures, signature_figures
from waferlens.wiring.record import Record
from waferlens.wiring.serve import Service
from waferlens.wiring.told import Told
from waferlens.wiring.watch import conclude, drift_figures, find_drift
from waferlens.wiring.watch_days import DaysPlan, DrawnImage, draw_days

_MOST_ALARMS = 200


@dataclass(frozen=True, kw_only=True)
class Came:
    """An alarm of these days. ran_ms: the fab's time when the watch ran that raised it."""

    kind: AlarmKind
    title: str
    ran_ms: int


@dataclass(frozen=True, kw_only=True)
class StreamedDays:
    """What came of the days. drift: the first alarm that names the drifting station; novel: the first crowd of no
    known class, both only after their cause began; others: every other alarm, causes or none of their own."""

    plan: DaysPlan
    begins_ms: int
    num_images: int
    num_doubtful: int
    seconds: float
    drift: Came | None
    novel: Came | None
    others: tuple[Came, ...]

    def facts(self) -> dict[str, str]:
        """For people."""
        plan = self.plan
        others = "; ".join(came.title for came in self.others) or "none"
        return {
            "days streamed": f"{plan.days:g} days of a line, {plan.num_wafers:,} wafers, {self.num_images:,}"
            f" images ({self.num_doubtful:,} did not pass), in {self.seconds:.0f} s",
            f"station-{plan.station}'s lamp, {plan.full_gain - 1:+.0%} over {plan.drift_days:g} days": self._told(
                self.drift, plan.drifts_from_day
            ),
            f"{plan.novel_kind}, unknown, 1 image in {1 / plan.novel_rate:.0f}": self._told(
                self.novel, plan.novel_from_day
            ),
            "other alarms of these days": others,
        }

    def wafers_until(self, came: Came, from_day: float) -> int:
        """Wafers inspected from the begin of the cause to the run of the watch that told it."""
        return round(self._days_until(came, from_day) * self.plan.wafers_per_day)

    def _days_until(self, came: Came, from_day: float) -> float:
        return (came.ran_ms - self.begins_ms) / DAY_MS - from_day

    def _told(self, came: Came | None, from_day: float) -> str:
        if came is None:
            return "no alarm"
        hours = 24 * self._days_until(came, from_day)
        return f"alarm after {self.wafers_until(came, from_day):,} wafers, {hours:.1f} h of the fab: {came.title}"


def stream_days(
    record: Record,
    options: WatchOptions,
    bundle: Path,
    fab: SyntheticFab,
    *,
    plan: DaysPlan | None = None,
    workers: int = 1,
    told: Told,
) -> StreamedDays:
    """Stream the days into a record and watch them; the alarms stand in the record then. The last day ends now.

    workers: processes that draw. Raises BundleError, EngineError, DatabaseLost.
    """
    plan, started = plan or DaysPlan(), time.perf_counter()
    inspector, reference = Inspector.load(bundle), load_reference(bundle)
    begins_ms, num, num_doubtful, came = clock_ms() - round(plan.days * DAY_MS), 0, 0, list[Came]()
    watched_ms = begins_ms
    for wafer, images in enumerate(draw_days(fab, plan, workers)):
        at_ms = begins_ms + round(plan.day_of(wafer) * DAY_MS) - 1
        num_doubtful += _inspect(record, inspector, images, at_ms)
        num += len(images)
        told.count(wafer + 1, plan.num_wafers)
        if at_ms - watched_ms >= HOUR_MS or wafer + 1 == plan.num_wafers:
            watched_ms = at_ms + 1
            for more in watch_once(record, options, reference, watched_ms):
                came.append(more)
                told.say(f"day {(watched_ms - begins_ms) / DAY_MS:.1f} of the fab, alarm: {more.title}")
    drift, novel = _of_the_lamp(came, plan, begins_ms), _of_the_new(came, plan, begins_ms)
    return StreamedDays(
        plan=plan,
        begins_ms=begins_ms,
        num_images=num,
        num_doubtful=num_doubtful,
        seconds=time.perf_counter() - started,
        drift=drift,
        novel=novel,
        others=tuple(each for each in came if each not in (drift, novel)),
    )


def finish_watch(service: Service) -> None:
    """Once, what a line runs hourly or daily besides: signatures, escapes, the daily report."""
    database, settings, until_ms = service.record.database, service.settings, clock_ms() + 1
    maps = {name: product.map for name, product in settings.products.items()}
    since_ms = until_ms - DAY_MS
    found = find_signatures(database, settings.watch, maps, since_ms, until_ms)
    conclude(database, "signatures", found.findings, signature_figures(found, since_ms, until_ms))
    bound, strata, findings = find_escapes(database, settings.watch, until_ms - 30 * DAY_MS, until_ms)
    conclude(database, "escape", findings, escape_figures(bound, strata))
    report = daily_report(service.record, service.review, settings.watch, until_ms)
    conclude(database, "daily", [], report.figures())


def watch_once(record: Record, options: WatchOptions, reference: Reference, until_ms: int) -> list[Came]:
    """One run of ``monitor drift`` and ``monitor novel`` as of a moment; the alarms that are new.

    A record that is too young says nothing yet. Raises DatabaseLost.
    """
    new: list[int] = []
    try:
        found = find_drift(record.database, options, reference, until_ms)
        new += conclude(record.database, "drift", found.findings, drift_figures(found))
        new += conclude(record.database, "novel", find_novel(record.database, options, until_ms).findings)
    except DataError:
        pass
    if not new:
        return []
    with record.database.reading() as connection:
        raised = [each for each in alarms_of(connection, only_open=True, limit=_MOST_ALARMS) if each.seq in new]
    return [Came(kind=each.kind, title=each.title, ran_ms=until_ms) for each in raised]


def _of_the_lamp(came: list[Came], plan: DaysPlan, begins_ms: int) -> Came | None:
    since_ms = begins_ms + plan.drifts_from_day * DAY_MS
    where = f"station station-{plan.station}: "
    found = (e for e in came if e.kind is AlarmKind.DRIFT and e.ran_ms > since_ms and where in e.title)
    return next(found, None)


def _of_the_new(came: list[Came], plan: DaysPlan, begins_ms: int) -> Came | None:
    since_ms = begins_ms + plan.novel_from_day * DAY_MS
    return next((e for e in came if e.kind is AlarmKind.NOVEL and e.ran_ms > since_ms), None)


def _inspect(record: Record, inspector: Inspector, images: list[DrawnImage], at_ms: int) -> int:
    """Infer, decide and record the images of one wafer; how many did not pass."""
    stored, looks = [], []
    for image in images:
        inspection = inspector.inspect_pixels(image.pixels, f"{wafer_name(image.wafer)}-{image.point}")
        name = record.blobs.put(image.file, durable=False)  # they can be made again
        one = _stored(inspection, inspector.thresholds, image, name, at_ms)
        stored.append(one)
        if one.decision is not DecisionKind.PASS:
            looks.append((one.id, describe(image.pixels, inspection.inference.heatmap).astype("<f4").tobytes()))
    with record.database.writing() as connection:
        for one in stored:
            insert_inspection(connection, one)
        add_appearances(connection, looks)
    return len(looks)


def _stored(
    inspection: Inspection, thresholds: Thresholds, image: DrawnImage, original: str, at_ms: int
) -> StoredInspection:
    inference, ms = inspection.inference, inspection.inference_time_ms
    return StoredInspection(
        id=new_id(at_ms),
        received_ms=at_ms,
        wafer_id=wafer_name(image.wafer),
        inspection_point=image.point,
        product="demo",
        lot_id=lot_name(image.wafer),
        station=f"station-{image.station}",
        decision=inspection.decision.kind,
        confidence=inspection.decision.confidence,
        reason=inspection.decision.reason,
        failure=None,
        score=inference.score,
        reconstruction_error=inference.reconstruction_error,
        p_value=inspection.p_value,
        review_threshold=thresholds.review,
        reject_threshold=thresholds.reject,
        score_name=thresholds.score_name,
        model_version=inspection.model_version,
        original=original,
        num_bytes=len(image.file),
        inference_ms=ms,
        timings={"inference": round(ms, 3)},
        latent=latent_bytes(inference.latent),
        brightness=float(image.pixels.mean()) / float(np.iinfo(image.pixels.dtype).max),
    )

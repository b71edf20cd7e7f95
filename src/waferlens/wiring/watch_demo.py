"""Days of a line in minutes: normal work, a lamp that drifts, a kind of defect that nobody has named; the alarms
come.

Real images of the synthetic fab through a real bundle into a real record, fewer points a wafer than a real day
has. Each image is inferred once and recorded as the service would record it, at the fab's own time; the watch
then runs hour by hour. Knows no HTTP.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from waferlens.decision.thresholds import Thresholds
from waferlens.errors import DataError
from waferlens.images.synth.defects import KNOWN_KINDS, DefectKind
from waferlens.images.synth.fab import SyntheticFab
from waferlens.inspection.inspector import Inspector
from waferlens.monitoring.appearance import describe
from waferlens.monitoring.drift import DriftOptions
from waferlens.monitoring.novel import NovelOptions
from waferlens.monitoring.options import WatchOptions
from waferlens.records import DecisionKind, Inspection, Pixels
from waferlens.storage.inspections import insert_inspection
from waferlens.storage.stored import DAY_MS, HOUR_MS, StoredInspection, clock_ms, latent_bytes, new_id
from waferlens.storage.watched import add_appearances
from waferlens.wiring.novelty import find_novel
from waferlens.wiring.record import Record
from waferlens.wiring.told import Told
from waferlens.wiring.watch import conclude, drift_figures, find_drift


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """How many days of which work. Wafers a day, points a wafer; shares of images with a defect."""

    days: int = 8
    wafers_per_day: int = 60
    points_per_wafer: int = 4
    drifts_from_day: float = 5.0
    full_gain: float = 1.08
    novel_from_day: float = 6.0
    novel_kind: DefectKind = DefectKind.RESIDUE
    novel_rate: float = 0.12
    known_rate: float = 0.02
    station: int = 1
    seed: int = 31


@dataclass(frozen=True, kw_only=True)
class DemoAlarms:
    """What came. wafers_until_*: inspected from the begin of the cause to its alarm; None where none came."""

    num_images: int
    num_wafers: int
    wafers_until_drift: int | None
    wafers_until_novel: int | None
    titles: tuple[str, ...]

    def facts(self) -> dict[str, str]:
        """For people."""
        drift, novel = self.wafers_until_drift, self.wafers_until_novel
        return {
            "streamed": f"{self.num_images:,} images of {self.num_wafers:,} wafers",
            "the lamp's drift": "not found" if drift is None else f"alarmed after {drift} wafers",
            "the new defect": "not found" if novel is None else f"alarmed after {novel} wafers",
            "alarms": "; ".join(self.titles) or "none",
        }


DEMO_WATCH = WatchOptions(
    baseline_days=2.5,
    drift=DriftOptions(wafers_per_group=3, baseline_groups=12, wafers_per_quarter=5_400, open_days=30.0),
    novel=NovelOptions(
        least_history=60,
        images_per_month=3_000,
        windows=(40, 100),
        crowds=(5, 7, 9, 12, 16),
        num_components=8,
    ),
)
"""A young record with few images: short baselines. A real line keeps the defaults."""


def stream_days(record: Record, bundle: Path, plan: DemoPlan, told: Told) -> DemoAlarms:
    """Stream the plan's days into a record and watch them; the alarms are in the record then.

    The last day ends now. Raises BundleError, EngineError, DatabaseLost.
    """
    inspector, begins_ms = Inspector.load(bundle), clock_ms() - plan.days * DAY_MS
    fab, total = SyntheticFab(seed=plan.seed), plan.days * plan.wafers_per_day
    seen = 0
    for wafer, images in enumerate(_wafers(fab, plan)):
        at_ms = begins_ms + round((wafer + 1) * DAY_MS / plan.wafers_per_day) - 1
        looks = []
        with record.database.writing() as connection:
            for point, station, pixels in images:
                inspection = inspector.inspect_pixels(pixels, f"WF-{wafer:06d}-{point}")
                name = record.blobs.put(_png(pixels))
                stored = _stored(inspection, inspector.thresholds, pixels, name, (wafer, point, station), at_ms)
                insert_inspection(connection, stored)
                if stored.decision is not DecisionKind.PASS:
                    looks.append(
                        (stored.id, describe(pixels, inspection.inference.heatmap).astype("<f4").tobytes())
                    )
                seen += 1
            add_appearances(connection, looks)
        told.count(wafer + 1, total)
    return _watched(record, plan, begins_ms, seen, total)


def _watched(record: Record, plan: DemoPlan, begins_ms: int, num_images: int, num_wafers: int) -> DemoAlarms:
    """Run both watches over the whole, as if every hour; when each alarm came is in what they found."""
    until_ms = begins_ms + plan.days * DAY_MS + HOUR_MS
    found = find_drift(record.database, DEMO_WATCH, until_ms=until_ms)
    conclude(record.database, "drift", found.findings, drift_figures(found))
    name, since_ms = f"station-{plan.station}", begins_ms + round(plan.drifts_from_day * DAY_MS)
    drifts = [d for d in found.drifts if d.raised_ms >= since_ms and d.cause.name.startswith(name)]
    titles = [finding.title for finding in found.findings]
    novel_ms, crowds = begins_ms + round(plan.novel_from_day * DAY_MS), []
    try:
        novel = find_novel(record.database, DEMO_WATCH, until_ms)
    except DataError:  # too few doubtful images came to compare with
        pass
    else:
        conclude(record.database, "novel", novel.findings)
        titles += [finding.title for finding in novel.findings]
        crowds = [crowd for crowd in novel.crowds if crowd.raised_ms >= novel_ms and not crowd.known]
    return DemoAlarms(
        num_images=num_images,
        num_wafers=num_wafers,
        wafers_until_drift=_wafers_between(since_ms, min((d.raised_ms for d in drifts), default=None), plan),
        wafers_until_novel=_wafers_between(novel_ms, min((c.raised_ms for c in crowds), default=None), plan),
        titles=tuple(titles),
    )


def _wafers_between(since_ms: int, raised_ms: int | None, plan: DemoPlan) -> int | None:
    if raised_ms is None:
        return None
    return max(1, round((raised_ms - since_ms) / DAY_MS * plan.wafers_per_day))


def _wafers(fab: SyntheticFab, plan: DemoPlan) -> Iterator[list[tuple[int, int, Pixels]]]:
    """(point, station, pixels) of the images of each wafer, in the order of time."""
    rng = np.random.default_rng(plan.seed)
    for wafer in range(plan.days * plan.wafers_per_day):
        day, images = wafer / plan.wafers_per_day, []
        for point in map(int, rng.choice(fab.layout.num_points, plan.points_per_wafer, replace=False)):
            kind = _kind_of(day, plan, rng)
            image = fab.render(wafer, point) if kind is None else fab.render_kind(wafer, point, kind)
            pixels = image.pixels
            if image.meta.station == plan.station and day >= plan.drifts_from_day:
                gain = 1 + (plan.full_gain - 1) * min(1.0, day - plan.drifts_from_day)
                pixels = np.clip(np.rint(pixels * gain), 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
            images.append((point, image.meta.station, pixels))
        yield images


def _kind_of(day: float, plan: DemoPlan, rng: np.random.Generator) -> DefectKind | None:
    if day >= plan.novel_from_day and rng.random() < plan.novel_rate:
        return plan.novel_kind
    return KNOWN_KINDS[int(rng.integers(len(KNOWN_KINDS)))] if rng.random() < plan.known_rate else None


def _stored(
    inspection: Inspection,
    thresholds: Thresholds,
    pixels: Pixels,
    original: str,
    place: tuple[int, int, int],
    at_ms: int,
) -> StoredInspection:
    inference, (wafer, point, station) = inspection.inference, place
    return StoredInspection(
        id=new_id(at_ms),
        received_ms=at_ms,
        wafer_id=f"WF-{wafer:06d}",
        inspection_point=point,
        product="demo",
        lot_id=f"LOT-{wafer // 25:05d}",
        station=f"station-{station}",
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
        num_bytes=pixels.size,
        inference_ms=inspection.inference_time_ms,
        timings={"inference": round(inspection.inference_time_ms, 3)},
        latent=latent_bytes(inference.latent),
        brightness=float(pixels.mean()) / float(np.iinfo(pixels.dtype).max),
    )


def _png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()

"""Days of a line of the synthetic fab: normal work, a lamp that drifts, a kind of defect that nobody has named.

Fewer points a wafer than a real day has, wafers that no data set uses. Every image has an address, so processes
share the drawing and the days are the same for any number of them. Knows no record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from waferlens.images.synth.defects import KNOWN_KINDS, DefectKind
from waferlens.images.synth.fab import SyntheticFab
from waferlens.images.synth.work import map_chunks
from waferlens.inspection.pictures import png_bytes
from waferlens.records import Pixels

FIRST_WAFER = 400_000
_CHUNK = 8


@dataclass(frozen=True, kw_only=True)
class DaysPlan:
    """Wafers a day, points a wafer; rates are shares of images; days count from 0.

    From ``drifts_from_day`` on the light of ``station`` rises, to ``full_gain`` after ``drift_days``. From
    ``novel_from_day`` on one image in ``1 / novel_rate`` has a defect of ``novel_kind``.
    """

    days: float = 5.5
    wafers_per_day: int = 160
    points_per_wafer: int = 6
    drifts_from_day: float = 3.0
    drift_days: float = 1.0
    full_gain: float = 1.05
    novel_from_day: float = 4.4
    novel_kind: DefectKind = DefectKind.RESIDUE
    novel_rate: float = 0.1
    known_rate: float = 0.02
    station: int = 1
    seed: int = 31

    @property
    def num_wafers(self) -> int:
        """Wafers of all days."""
        return round(self.days * self.wafers_per_day)

    def day_of(self, wafer: int) -> float:
        """When the wafer is inspected. wafer: from 0 on."""
        return (wafer + 1) / self.wafers_per_day

    def gain_of(self, station: int, day: float) -> float:
        """The light of a station, 1 when all is well."""
        if station != self.station or day < self.drifts_from_day:
            return 1.0
        return 1.0 + (self.full_gain - 1.0) * min(1.0, (day - self.drifts_from_day) / self.drift_days)


@dataclass(frozen=True, kw_only=True)
class DrawnImage:
    """pixels (256, 256), and the file that a camera would send."""

    wafer: int
    point: int
    station: int
    pixels: Pixels
    file: bytes


def draw_days(fab: SyntheticFab, plan: DaysPlan, workers: int) -> Iterator[list[DrawnImage]]:
    """The images of each wafer, wafer after wafer in the order of time."""
    work = partial(_draw, fab, plan)
    for chunk in map_chunks(work, range(plan.num_wafers), workers=workers, chunk_size=_CHUNK):
        yield from chunk


def _draw(fab: SyntheticFab, plan: DaysPlan, wafers: list[int]) -> list[list[DrawnImage]]:
    return [[_image(fab, plan, wafer, *shot) for shot in _shots(fab, plan, wafer)] for wafer in wafers]


def _shots(fab: SyntheticFab, plan: DaysPlan, wafer: int) -> Iterator[tuple[int, DefectKind | None]]:
    """Points of a wafer with what is wrong there."""
    rng = np.random.default_rng([plan.seed, wafer])
    novel_rate = plan.novel_rate if plan.day_of(wafer) >= plan.novel_from_day else 0.0
    for point in sorted(map(int, rng.choice(fab.layout.num_points, plan.points_per_wafer, replace=False))):
        drawn, known = rng.random(), KNOWN_KINDS[int(rng.integers(len(KNOWN_KINDS)))]
        is_novel = drawn < novel_rate
        yield point, plan.novel_kind if is_novel else known if drawn < novel_rate + plan.known_rate else None


def _image(fab: SyntheticFab, plan: DaysPlan, wafer: int, point: int, kind: DefectKind | None) -> DrawnImage:
    number = FIRST_WAFER + wafer
    made = fab.render_kind(number, point, kind)
    pixels, gain = made.pixels, plan.gain_of(made.meta.station, plan.day_of(wafer))
    if gain != 1.0:
        pixels = np.clip(np.rint(pixels * gain), 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return DrawnImage(
        wafer=number,
        point=point,
        station=made.meta.station,
        pixels=pixels,
        file=png_bytes(Image.fromarray(pixels)),
    )

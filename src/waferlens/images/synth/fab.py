"""The synthetic fab itself: any image of any wafer, alone and in any order. Knows no files.

Every draw of an image has an address made of the seed, the wafer and the point, so images can be made in parallel,
streamed, or one at a time, and a defective image differs from the normal one of its address by its defect alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from waferlens.errors import OptionsError
from waferlens.images.synth.anchors import Anchors, find_gaps, find_necks
from waferlens.images.synth.defects import DefectKind, DefectOptions, DefectSpec, draw_spec
from waferlens.images.synth.fields import Stream, generator
from waferlens.images.synth.marring import LEAST_MASK_PX, NUM_PLACINGS, Twins, mar
from waferlens.images.synth.optics import Exposure, OpticsOptions, Station, build_station, record, set_exposure
from waferlens.images.synth.pattern_defects import Scene
from waferlens.images.synth.patterns import Family, Pattern, draw_pattern
from waferlens.images.synth.process import Process, ProcessOptions, StageOptions, stop_stage
from waferlens.images.synth.wafer import (
    InspectionPoint,
    WaferLayout,
    WaferOptions,
    lay_out,
    lot_name,
    wafer_name,
)
from waferlens.records import IMAGE_SIZE, Pixels

_NUM_REDRAWS = 12


class FabOptions(BaseModel, frozen=True, extra="forbid"):
    """Everything about the fab but its seed."""

    design_seed: int = Field(7, ge=0, description="Fixes the product's patterns and the stations.")
    families: tuple[Family, ...] = Field(tuple(Family), min_length=1, description="Pattern families of a die.")
    sites_per_family: int = Field(1, ge=1, le=16, description="Sites of each family in a die.")
    wafer: WaferOptions = WaferOptions()
    stage: StageOptions = StageOptions()
    process: ProcessOptions = ProcessOptions()
    optics: OpticsOptions = OpticsOptions()
    defects: DefectOptions = DefectOptions()


@dataclass(frozen=True, kw_only=True)
class ImageMeta:
    """What a fab's database would know of an image, and what only a synthetic one knows.

    visibility: signal to noise ratio of the defect to an observer who knows it; 0 for normal images.
    """

    lot: str
    wafer: str
    inspection_point: int
    site: int
    family: Family
    station: int
    defect: DefectSpec | None
    visibility: float


@dataclass(frozen=True, kw_only=True)
class SyntheticImage:
    """pixels (IMAGE_SIZE, IMAGE_SIZE) uint8 or uint16; mask, same shape, bool, all False when normal."""

    pixels: Pixels
    mask: npt.NDArray[np.bool_]
    meta: ImageMeta


@dataclass(frozen=True)
class _Site:
    pattern: Pattern
    gaps: Anchors
    necks: Anchors


@dataclass(frozen=True)
class _Shot:
    """One image about to be taken."""

    wafer: int
    where: InspectionPoint
    scene: Scene
    exposure: Exposure


class SyntheticFab:
    """A fab with one product. Equal options and seed give equal images.

    Building draws the design of every site (some 0.05 s a site); images share nothing else.
    """

    def __init__(self, options: FabOptions | None = None, seed: int = 0) -> None:
        """Build the fab; seed (>= 0) fixes every wafer that it will ever process."""
        if seed < 0:
            raise OptionsError("seed of the synthetic fab", expected="an integer >= 0", found=str(seed))
        self.options = options or FabOptions()
        self.seed = seed
        self._sites = [
            _build_site(family, variant, self.options.design_seed)
            for variant in range(self.options.sites_per_family)
            for family in self.options.families
        ]
        self._stations = [
            build_station(self.options.optics, index, self.options.design_seed)
            for index in range(self.options.optics.num_stations)
        ]
        self._process = Process.build(self.options.process, seed)
        self.layout: WaferLayout = lay_out(self.options.wafer, len(self._sites))

    def render(self, wafer: int, point: int, defect: DefectSpec | None = None) -> SyntheticImage:
        """Make the image of one inspection point, normal or with that defect.

        Raises OptionsError for a point that the wafer has not, and for a defect that no placing makes visible.
        """
        shot = self._aim(wafer, point)
        if defect is None:
            return self._take(shot)
        return self._take(shot, defect, _require_visible(self._mar(shot, defect), defect, self.options.defects))

    def render_kind(self, wafer: int, point: int, kind: DefectKind | None) -> SyntheticImage:
        """Make the image of one point with a defect of that kind, its size and contrast from the options' ranges.

        kind: None for a normal image. A draw that no placing makes visible is drawn again; raises OptionsError
        when a dozen draws are.
        """
        if kind is None:
            return self.render(wafer, point)
        shot = self._aim(wafer, point)
        for redraw in range(_NUM_REDRAWS):
            address = (wafer, point, _number(kind), redraw)
            defect = draw_spec(kind, self.options.defects, generator(self.seed, Stream.DEFECT_SPEC, *address))
            twins = self._mar(shot, defect)
            if twins.visible:
                break
        return self._take(shot, defect, _require_visible(twins, defect, self.options.defects))

    def render_twins(self, wafer: int, point: int, defect: DefectSpec) -> Twins:
        """The noiseless pictures behind `render`, visible or not: to measure what a defect is worth."""
        return self._mar(self._aim(wafer, point), defect)

    def stream(self, num: int, first_wafer: int = 0) -> Iterator[SyntheticImage]:
        """Yield num normal images, wafer after wafer, every point of each."""
        for index in range(num):
            wafer, point = divmod(index, self.layout.num_points)
            yield self.render(first_wafer + wafer, point)

    def _aim(self, wafer: int, point: int) -> _Shot:
        if wafer < 0:
            raise OptionsError("wafer number", expected=">= 0", found=str(wafer))
        where = self.layout.point(point)
        site, rng = self._sites[where.site], generator(self.seed, Stream.STAGE, wafer, point)
        placement = stop_stage(self.options.stage, rng)
        exposure = set_exposure(self.options.optics, self._station_of(wafer), rng)
        printed = self._process.print(site.pattern, wafer, where, placement)
        scene = Scene(pattern=site.pattern, gaps=site.gaps, necks=site.necks, placement=placement, printed=printed)
        return _Shot(wafer, where, scene, exposure)

    def _station_of(self, wafer: int) -> Station:
        chosen = generator(self.seed, Stream.WAFER, wafer, 3).integers(len(self._stations))
        return self._stations[int(chosen)]

    def _mar(self, shot: _Shot, defect: DefectSpec) -> Twins:
        """The twins of a shot; each placing of the defect is an address of its own."""
        address = (shot.wafer, shot.where.index, _number(defect.kind))
        return mar(
            shot.scene,
            shot.exposure,
            defect,
            self.options.defects,
            lambda placing: generator(self.seed, Stream.DEFECT_SHAPE, *address, placing),
        )

    def _take(self, shot: _Shot, defect: DefectSpec | None = None, twins: Twins | None = None) -> SyntheticImage:
        printed = shot.scene.printed
        picture = twins.defective if twins else shot.exposure.expose(printed.reflectance(printed.upper))
        rng = generator(self.seed, Stream.NOISE, shot.wafer, shot.where.index)
        meta = ImageMeta(
            lot=lot_name(shot.wafer),
            wafer=wafer_name(shot.wafer),
            inspection_point=shot.where.index,
            site=shot.where.site,
            family=shot.scene.pattern.family,
            station=shot.exposure.station.index,
            defect=defect,
            visibility=twins.visibility if twins else 0.0,
        )
        mask = twins.mask if twins else np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.bool_)
        return SyntheticImage(pixels=record(self.options.optics, picture, rng), mask=mask, meta=meta)


def _build_site(family: Family, variant: int, design_seed: int) -> _Site:
    pattern = draw_pattern(family, variant, design_seed)
    return _Site(pattern, find_gaps(pattern.upper), find_necks(pattern.upper))


def _number(kind: DefectKind) -> int:
    return list(DefectKind).index(kind)


def _require_visible(twins: Twins, defect: DefectSpec, options: DefectOptions) -> Twins:
    if not twins.visible:
        raise OptionsError(
            f"{defect.kind} of {defect.size_um:.2f} um, contrast {defect.contrast:.2f}, cannot be made visible",
            expected=f"visibility >= {options.min_visibility} over at least {LEAST_MASK_PX} pixels",
            found=f"{twins.visibility:.1f} over {int(twins.mask.sum())}, the best of {NUM_PLACINGS} placings",
        )
    return twins

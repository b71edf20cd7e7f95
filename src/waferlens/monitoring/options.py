"""What the watch is told, and where a product's points lie."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field

from waferlens.images.synth.wafer import WaferOptions, lay_out
from waferlens.monitoring.drift import DriftOptions
from waferlens.monitoring.novel import NovelOptions
from waferlens.monitoring.points import PointOptions
from waferlens.monitoring.signature_regions import SignatureOptions, WaferMap
from waferlens.monitoring.weekly import WeeklyOptions


class EscapeOptions(BaseModel, frozen=True, extra="forbid"):
    """The bound of escapes from blind audits."""

    target: float = Field(0.001, gt=0, lt=1, description="largest share of all defects that may escape")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the bound, at all looks at once")
    share_near: float = Field(0.05, gt=0, lt=0.5, description="of PASS images that count as near the threshold")
    share_middle: float = Field(0.15, gt=0, lt=0.5, description="of PASS images between those and the rest")


class WatchOptions(BaseModel, frozen=True, extra="forbid"):
    """How the record of a line is watched."""

    look_back_days: float = Field(120.0, gt=0, description="inspections of so many days are looked at")
    baseline_days: float = Field(
        14.0, gt=0, description="first days of a model, which levels of points are learned from"
    )
    availability_target: float = Field(0.999, gt=0, lt=1, description="share of busy minutes without a failure")
    drift: DriftOptions = DriftOptions()
    week: WeeklyOptions = WeeklyOptions()
    points: PointOptions = PointOptions()
    novel: NovelOptions = NovelOptions()
    signatures: SignatureOptions = SignatureOptions()
    escapes: EscapeOptions = EscapeOptions()


class MapOptions(WaferOptions):
    """A product's wafer: every full die of a grid with one on the centre, so many points in each, die by die."""

    sites_per_die: int = Field(4, ge=1, le=1000, description="inspection points of a die")

    def points(self) -> WaferMap:
        """Where the points lie. Raises OptionsError when not one die fits."""
        found = lay_out(self, self.sites_per_die).points
        return WaferMap(
            x=np.array([p.x_mm for p in found]),
            y=np.array([p.y_mm for p in found]),
            site=np.array([p.site for p in found]),
            radius_mm=self.diameter_mm / 2,
        )

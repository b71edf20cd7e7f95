"""What the watch is told, and where a product's points lie as it needs them."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field

from waferlens.inspection.places import MapOptions
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


def wafer_map_of(told: MapOptions) -> WaferMap:
    """Where a product's points lie, and which are the same site of their dies (all, where no die is known).

    Raises OptionsError when not one die fits.
    """
    x, y = np.asarray(told.places_mm(), dtype=np.float64).T
    site = np.zeros(len(x), dtype=np.int64) if told.points_mm else np.arange(len(x)) % told.sites_per_die
    return WaferMap(x=x, y=y, site=site, radius_mm=told.diameter_mm / 2)

"""Days of a line, streamed: the alarm comes by the watch's own work, once, and the summary says when.

The tiny detector of the tests passes nearly every defect, so here no new kind can be found: the summary says that.
"""

from __future__ import annotations

import re

import pytest

from waferlens.images.synth.defects import DefectKind
from waferlens.images.synth.fab import FabOptions, SyntheticFab
from waferlens.images.synth.patterns import Family
from waferlens.monitoring.drift import DriftOptions
from waferlens.monitoring.novel import NovelOptions
from waferlens.monitoring.options import WatchOptions
from waferlens.storage.alarms import AlarmKind, alarms_of, open_by_kind
from waferlens.storage.stored import DAY_MS
from waferlens.wiring.record import open_record
from waferlens.wiring.told import SILENT
from waferlens.wiring.watch_days import DaysPlan, draw_days
from waferlens.wiring.watch_demo import stream_days

FAB = SyntheticFab(FabOptions(families=(Family.GRATING,)), seed=3)
OPTIONS = WatchOptions(
    baseline_days=0.5,
    drift=DriftOptions(wafers_per_group=2, baseline_groups=10, wafers_per_quarter=9_000),
    novel=NovelOptions(images_per_month=2_500, least_history=60, num_components=10),
)
PLAN = DaysPlan(
    days=3.0, wafers_per_day=100, points_per_wafer=4, drifts_from_day=1.3, drift_days=0.5, full_gain=1.08,
    novel_from_day=1.8, novel_kind=DefectKind.RESIDUE, novel_rate=0.25, known_rate=0.12,
)  # fmt: skip


def test_the_days_are_the_same_for_any_number_of_processes():
    plan = DaysPlan(days=0.1, wafers_per_day=40, points_per_wafer=2)
    alone, shared = (
        [(e.wafer, e.point, e.file) for wafer in draw_days(FAB, plan, workers) for e in wafer]
        for workers in (1, 2)
    )
    assert alone == shared
    assert len(alone) == 8


def test_the_light_rises_at_one_station_alone_and_only_from_its_day_on():
    plan = DaysPlan(drifts_from_day=2, drift_days=2, full_gain=1.1, station=1)
    assert plan.gain_of(1, 1.9) == plan.gain_of(0, 5.0) == 1.0
    assert plan.gain_of(1, 3.0) == pytest.approx(1.05)
    assert plan.gain_of(1, 9.0) == pytest.approx(1.1)


@pytest.mark.slow
def test_the_lamp_is_alarmed_after_it_began_to_drift_and_the_summary_says_when(exported, tmp_path):
    record = open_record(tmp_path)
    days = stream_days(record, OPTIONS, exported, FAB, plan=PLAN, workers=2, told=SILENT)
    assert days.num_images == 1200
    assert days.drift is not None
    assert 0 < days.wafers_until(days.drift, PLAN.drifts_from_day) < 170
    told = days.facts()
    (lamp_words,) = (text for name, text in told.items() if "lamp" in name)
    assert re.match(r"alarm after \d+ wafers, [\d.]+ h of the fab: drift: ", lamp_words)
    (new_words,) = (text for name, text in told.items() if "unknown" in name)
    with record.database.reading() as connection:
        assert open_by_kind(connection)[AlarmKind.NOVEL] == 0
        (lamp,) = [a for a in alarms_of(connection, only_open=True, limit=50) if a.title == days.drift.title]
    assert new_words == "no alarm"
    assert lamp.detail["name"] == "station-1"
    assert lamp.onset_ms >= days.begins_ms + (PLAN.drifts_from_day - 0.2) * DAY_MS


@pytest.mark.slow
def test_quiet_days_raise_neither(exported, tmp_path):
    quiet = PLAN.__class__(**vars(PLAN) | {"drifts_from_day": 99, "novel_from_day": 99})
    days = stream_days(open_record(tmp_path), OPTIONS, exported, FAB, plan=quiet, workers=2, told=SILENT)
    assert days.drift is None
    assert days.novel is None
    assert "no alarm" in days.facts().values()

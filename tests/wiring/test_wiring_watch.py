"""The watch over a record: what drifted, what crowds, what lots show and what escapes becomes an alarm, once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from waferlens.cli.main import main
from waferlens.errors import DataError
from waferlens.inspection.places import MapOptions
from waferlens.monitoring.appearance import APPEARANCE_SIZE
from waferlens.monitoring.cause import Scope
from waferlens.monitoring.drift import DriftOptions
from waferlens.monitoring.novel import NovelOptions
from waferlens.monitoring.options import WatchOptions, wafer_map_of
from waferlens.monitoring.signature_regions import Signature
from waferlens.records import DecisionKind
from waferlens.settings.service import ServiceSettings
from waferlens.storage.alarms import AlarmKind, alarms_of
from waferlens.storage.inspections import insert_inspection
from waferlens.storage.stored import DAY_MS, clock_ms, latent_bytes
from waferlens.storage.watched import add_appearances
from waferlens.wiring.alarms import acknowledge, clear, listed
from waferlens.wiring.daily import daily_report, figures_of
from waferlens.wiring.escapes import find_escapes
from waferlens.wiring.novelty import find_novel
from waferlens.wiring.patterns import find_signatures
from waferlens.wiring.record import open_record
from waferlens.wiring.review import open_review
from waferlens.wiring.watch import conclude, drift_figures, find_drift, wafers_of

sys.path.append(str(Path(__file__).parents[1] / "storage"))
from storage_examples import an_inspection

OPTIONS = WatchOptions(
    baseline_days=4,
    drift=DriftOptions(wafers_per_group=2, baseline_groups=10, wafers_per_quarter=4_000, open_days=30),
    novel=NovelOptions(least_history=300, windows=(60,), images_per_month=20_000, num_components=4),
)


@pytest.fixture
def record(tmp_path):
    return open_record(tmp_path)


def work(record, days: float = 10, per_day: int = 24, *, drifts_after: float = 1e9) -> int:
    """Wafers of one point at two stations; after a day, one station's lamp is 10 % brighter. Ends now."""
    rng, until_ms = np.random.default_rng(1), clock_ms()
    num = round(days * per_day)
    with record.database.writing() as connection:
        for wafer in range(num):
            at_ms = round(until_ms - (num - wafer) * DAY_MS / per_day)
            station = f"s{rng.integers(2)}"
            bright = 1.1 if station == "s1" and wafer / per_day >= drifts_after else 1.0
            insert_inspection(
                connection,
                an_inspection(
                    received_ms=at_ms,
                    wafer_id=f"W{wafer}",
                    station=station,
                    lot_id=f"L{wafer // 10}",
                    score=float(rng.normal(0.5, 0.3)),
                    brightness=float(0.5 * bright * np.exp(0.01 * rng.standard_normal())),
                    latent=latent_bytes(rng.standard_normal(128).astype(np.float32)),
                ),
            )
    return until_ms


def test_a_lamp_that_drifts_is_one_alarm_however_often_the_watch_runs(record):
    work(record, drifts_after=8)
    for expected in (1, 0):
        found = find_drift(record.database, OPTIONS)
        lamps = [d for d in found.drifts if (d.cause.scope, d.cause.name) == (Scope.STATION, "s1")]
        assert len(lamps) == 1
        assert lamps[0].shift == pytest.approx(np.log(1.1), abs=0.03)
        new = conclude(record.database, "drift", found.findings, drift_figures(found))
        assert len(new) == expected * len(found.findings)
    with record.database.reading() as connection:
        assert any("s1: brightness" in a.title for a in alarms_of(connection, only_open=True, limit=10))


def test_a_record_without_images_says_so(record):
    with pytest.raises(DataError, match="nothing was inspected"):
        find_drift(record.database, OPTIONS)
    with pytest.raises(DataError, match="doubtful"):
        find_novel(record.database, OPTIONS, clock_ms())


def test_a_crowd_of_a_new_kind_is_one_alarm_with_its_images(record):
    rng, until_ms, looks = np.random.default_rng(2), clock_ms(), []
    with record.database.writing() as connection:
        for number in range(400):
            is_new = number >= 350 and number % 2 == 0
            image = an_inspection(
                received_ms=until_ms - (400 - number) * 60_000, wafer_id=f"W{number}", decision=DecisionKind.REVIEW
            )
            insert_inspection(connection, image)
            look = rng.standard_normal(APPEARANCE_SIZE) * (0.05 if is_new else 1.0) + (4.0 if is_new else 0.0)
            looks.append((image.id, look.astype("<f4").tobytes()))
        add_appearances(connection, looks)
    for expected in (1, 0):
        found = find_novel(record.database, OPTIONS, clock_ms())
        assert [crowd.known for crowd in found.crowds] == [""]
        assert len(conclude(record.database, "novel", found.findings)) == expected
    (alarm,) = listed(record.database, only_open=True, limit=10)
    assert alarm.kind is AlarmKind.NOVEL
    assert set(alarm.detail["members"]) <= {name for name, _ in looks[350:]}


def test_a_lot_with_a_ring_is_an_alarm_and_a_product_without_a_map_is_named(record):
    settings = MapOptions(sites_per_die=1)
    wafer_map, until_ms = wafer_map_of(settings), clock_ms()
    at_edge = np.hypot(wafer_map.x, wafer_map.y) > 105
    with record.database.writing() as connection:
        for wafer in range(3):
            for point, bad in enumerate(at_edge):
                decision = DecisionKind.REJECT if bad else DecisionKind.PASS
                told = {"wafer_id": f"W{wafer}", "lot_id": "L1", "product": "p", "inspection_point": point}
                insert_inspection(
                    connection, an_inspection(received_ms=until_ms - 1000, decision=decision, **told)
                )
        insert_inspection(connection, an_inspection(received_ms=until_ms - 1000, product="q"))
    found = find_signatures(record.database, OPTIONS, {"p": settings}, until_ms - DAY_MS, until_ms + 1)
    assert found.lots["L1"].signature is Signature.EDGE_RING
    assert found.without_map == ("q",)
    assert "edge ring" in found.findings[0].title


def test_without_audits_nothing_is_known_of_escapes(record):
    until_ms = work(record, days=2)
    bound, strata, findings = find_escapes(record.database, OPTIONS, until_ms - 3 * DAY_MS, until_ms + 1)
    assert bound.rate_bound == 1.0
    assert sum(s.num_images for s in strata) == 48
    assert findings == []


def test_what_a_person_does_with_an_alarm_stands_in_the_audit_log(record):
    work(record, drifts_after=8)
    new = conclude(record.database, "drift", find_drift(record.database, OPTIONS).findings)
    acknowledge(record, new[0], "ann")
    assert clear(record, new[0], "eve").cleared_by == "eve"
    assert record.audit.verify() == 2


def test_the_daily_report_counts_what_is_recorded(record):
    until_ms = work(record, days=3)
    with record.database.writing() as connection:
        insert_inspection(connection, an_inspection(received_ms=until_ms - 5000, failure="engine", score=None))
    settings = ServiceSettings()
    review = open_review(record, settings.review, settings.num_points())
    day = figures_of(record, review, OPTIONS, "day", until_ms - DAY_MS, until_ms)
    assert day.num_images == 25
    assert day.failed.num == 1
    assert day.availability is not None
    assert day.availability.num_bad == 1
    page = daily_report(record, review, OPTIONS, until_ms).page
    assert "NOT met" in page
    assert "4.00% [" in page
    assert "blind audits of PASS this month" in page


def test_names_of_images_tell_their_wafers_or_nothing():
    assert wafers_of(["a/WF-1-000.png", "a/WF-1-001.png", "a/WF-2-000.png"]).tolist() == [0, 0, 1]
    assert wafers_of(["000.png", "001.png"]) is None


def test_the_commands_print_what_they_found(record, tmp_path, capsys):
    work(record, days=6)
    for words in (
        ["monitor", "drift", "--home", str(tmp_path), "--page", str(tmp_path / "drift.html"), "--json"],
        ["monitor", "escape", "--home", str(tmp_path)],
        ["monitor", "signatures", "--home", str(tmp_path)],
        ["monitor", "daily", "--home", str(tmp_path), "--out", str(tmp_path)],
        ["monitor", "alarms", "--home", str(tmp_path), "--all", "--json"],
        ["roi", "--json"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0, words
    assert "num_images" in capsys.readouterr().out
    assert "Statistics over time" in (tmp_path / "drift.html").read_text()

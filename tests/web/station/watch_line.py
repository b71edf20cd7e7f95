"""The watch over the small station: every part runs once over what was inspected, and two alarms are open."""

from __future__ import annotations

import line
from waferlens.monitoring.drift import DriftOptions
from waferlens.monitoring.options import WatchOptions
from waferlens.monitoring.weekly import WeeklyOptions
from waferlens.storage.alarms import AlarmKind, Finding
from waferlens.storage.stored import DAY_MS, clock_ms
from waferlens.wiring.daily import daily_report
from waferlens.wiring.escapes import escape_figures, find_escapes
from waferlens.wiring.patterns import find_signatures, signature_figures
from waferlens.wiring.watch import conclude, drift_figures, find_drift

OPTIONS = WatchOptions(
    drift=DriftOptions(wafers_per_group=1, baseline_groups=8), week=WeeklyOptions(least_images=5)
)


def doubtful(served: line.Served) -> list[dict]:
    """The worst images of the record, the worst first."""
    with served.client() as client:
        found = client.get("/api/v1/inspections?limit=200")["inspections"]
    return sorted(found, key=lambda each: each["anomaly_score"] or 0.0, reverse=True)


def crowd_of(served: line.Served, num: int = 6) -> Finding:
    """What the watch would say of the worst images: enough of a crowd for the pages, whatever they show."""
    images = doubtful(served)[:num]
    told = {
        "members": [each["id"] for each in images],
        "wafers": sorted({each["wafer_id"] for each in images}),
        "expected": 0.4,
        "chance": 1e-6,
        "known": "",
    }
    title = f"a kind of defect that nobody has named: {num} images alike"
    moment = min(each["received_ms"] for each in images)
    return Finding(
        kind=AlarmKind.NOVEL, key=images[0]["id"], title=title, detail=told, onset_ms=moment, at_ms=clock_ms()
    )


def lamp() -> Finding:
    detail = {"scope": "station", "name": "camera-1", "statistics": ["brightness"], "shift": 0.05}
    now = clock_ms()
    return Finding(
        kind=AlarmKind.DRIFT, key="lamp", title="drift: station camera-1: brightness +5.1 %", detail=detail,
        onset_ms=now - DAY_MS, at_ms=now,
    )  # fmt: skip


def watch_everything(served: line.Served) -> None:
    service, until_ms = served.service, clock_ms() + 1
    database, since_ms = service.record.database, until_ms - DAY_MS
    found = find_drift(database, OPTIONS)
    conclude(database, "drift", [lamp()], drift_figures(found))
    conclude(database, "novel", [crowd_of(served)])
    maps = {name: product.map for name, product in service.settings.products.items()}
    patterns = find_signatures(database, OPTIONS, maps, since_ms, until_ms)
    conclude(database, "signatures", patterns.findings, signature_figures(patterns, since_ms, until_ms))
    bound, strata, findings = find_escapes(database, OPTIONS, since_ms, until_ms)
    conclude(database, "escape", findings, escape_figures(bound, strata))
    report = daily_report(service.record, service.review, OPTIONS, until_ms)
    conclude(database, "daily", [], report.figures())

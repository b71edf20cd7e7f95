"""Grafana's dashboards, made from code: python deploy/grafana/dashboards.py [FOLDER]

Four dashboards for four people: the line (the shift leader), quality (the quality engineer, daily), the model
(the ML engineer), the system (who is on call). A test runs every query against a real Prometheus that scraped a
real service, and compares the JSON files beside this one with what this makes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = {"type": "prometheus", "uid": "${prometheus}"}
INSPECTIONS = "waferlens_inspections_total"


@dataclass(frozen=True)
class Panel:
    """One picture. queries: (expr, legend). unit: Grafana's name. kind: its panel type. limit: a red line."""

    title: str
    says: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    limit: float | None = None


def quantile(share: float, stage: str) -> str:
    """The query of a quantile of a stage's time, seconds."""
    return (
        f'histogram_quantile({share}, sum by (le) (rate(waferlens_stage_seconds_bucket{{stage="{stage}"}}[5m])))'
    )


LINE = (
    Panel(
        "Anomaly scores, last hour",
        "Distribution of the calibrated score. A second hump is a new kind of image.",
        (("sum by (le) (increase(waferlens_anomaly_score_bucket[1h]))", "{{le}}"),),
        kind="bargauge",
    ),
    Panel(
        "Decisions an hour",
        "PASS, REVIEW and REJECT, images an hour.",
        ((f"sum by (decision) (rate({INSPECTIONS}[15m])) * 3600", "{{decision}}"),),
    ),
    Panel(
        "REJECT of all images",
        "The case study's alert is at 5 %.",
        (
            (
                f'sum by (product) (rate({INSPECTIONS}{{decision="REJECT"}}[15m]))'
                f" / sum by (product) (rate({INSPECTIONS}[15m]))",
                "{{product}}",
            ),
        ),
        unit="percentunit",
        limit=0.05,
    ),
    Panel(
        "Latency of an image",
        "From the request to the recorded answer. The budget is 50 ms, the alert at 40 ms.",
        tuple((quantile(share, "request"), name) for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))),
        unit="s",
        limit=0.040,
    ),
    Panel(
        "GPU: utilisation and memory",
        "As the inference servers tell it; empty where processors infer.",
        (
            ("nv_gpu_utilization", "{{gpu_uuid}} busy"),
            ("nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes", "{{gpu_uuid}} memory"),
        ),
        unit="percentunit",
        limit=0.85,
    ),
    Panel(
        "Images inside",
        "Waiting for inference or in it.",
        (("sum(waferlens_images_inside)", "inside"), ("sum(waferlens_queue_depth)", "waiting for an engine")),
    ),
)
QUALITY = (
    Panel(
        "False alarms",
        "Images that people settled as normal, of those they settled in 7 days, by what the model had said.",
        (("max by (decision) (waferlens_review_overridden_ratio)", "{{decision}}"),),
        unit="percentunit",
    ),
    Panel(
        "Two people agree",
        "On images that both were given. The old inspection had 78 %.",
        (("max(waferlens_review_agreement_ratio)", "agree"),),
        unit="percentunit",
        limit=0.78,
    ),
    Panel(
        "Score against the reference",
        "KS distance of this week's PASS scores, by station and product. It matters from 0.15 on.",
        (("max by (station, product) (waferlens_drift_ks_distance)", "{{station}} {{product}}"),),
        limit=0.15,
    ),
    Panel(
        "Escapes, at most",
        "Defective images among those that pass, upper bound from blind audits.",
        (("max(waferlens_escape_rate_bound)", "bound"),),
        unit="percentunit",
    ),
    Panel(
        "Blind audits",
        "Settled in 30 days, and defects among them.",
        (("max(waferlens_audit_images)", "audits"), ("max(waferlens_audit_escapes)", "escapes")),
    ),
    Panel(
        "Images that wait for people",
        "How many, and for how long the oldest.",
        (
            ("max(waferlens_review_waiting)", "waiting"),
            ("max(waferlens_review_oldest_seconds) / 3600", "oldest, hours"),
        ),
    ),
    Panel("Looks", "In 7 days.", (("max(waferlens_review_looks)", "looks"),)),
)
MODEL = (
    Panel(
        "Model that runs",
        "One line for each version; two while replicas change over.",
        (("count by (model_version) (waferlens_model_info)", "{{model_version}}"),),
        kind="table",
    ),
    Panel(
        "What is being tried",
        "1 for none, shadow or canary; the share of wafers that a canary decides on.",
        (
            ("max by (state) (waferlens_rollout_state)", "{{state}}"),
            ("max(waferlens_canary_share)", "share of wafers"),
        ),
    ),
    Panel(
        "The shadow",
        "Images that wait for the challenger, and minutes that the oldest has waited.",
        (
            ("max(waferlens_shadow_waiting)", "waiting"),
            ("max(waferlens_shadow_lag_seconds) / 60", "behind, minutes"),
        ),
    ),
    Panel(
        "Shift of the last day, in deviations",
        "Each statistic of each station and product against its baseline. Brightness is the lamp.",
        (
            (
                "max by (station, product, statistic) (waferlens_drift_shift)",
                "{{station}} {{product}} {{statistic}}",
            ),
        ),
        width=24,
    ),
    Panel(
        "Weekly test",
        "p of the Kolmogorov-Smirnov test, adjusted over streams.",
        (("max by (station, product) (waferlens_drift_ks_p_value)", "{{station}} {{product}}"),),
    ),
    Panel(
        "Open alarms of the watch",
        "Drift, new kinds of defect, signatures, escapes.",
        (("max by (kind) (waferlens_watch_alarms_open)", "{{kind}}"),),
        kind="stat",
    ),
    Panel(
        "Since the watch ran",
        "Each part, hours.",
        (("(time() - max by (part) (waferlens_watch_last_run_timestamp_seconds)) / 3600", "{{part}}"),),
    ),
    Panel(
        "Median score",
        "Of all images.",
        (("histogram_quantile(0.5, sum by (le) (rate(waferlens_anomaly_score_bucket[1h])))", "median"),),
    ),
)
SYSTEM = (
    Panel("Replicas", "1 answers, 0 does not.", (("up", "{{job}} {{instance}}"),), kind="stat"),
    Panel(
        "Ready",
        "Whether an image sent now would be inferred.",
        (("waferlens_ready", "{{instance}}"),),
        kind="stat",
    ),
    Panel(
        "Stages, 95th percentile",
        "Where an image spends its time.",
        (
            (
                "histogram_quantile(0.95, sum by (stage, le) (rate(waferlens_stage_seconds_bucket[5m])))",
                "{{stage}}",
            ),
        ),
        unit="s",
        width=24,
    ),
    Panel(
        "Answers by status",
        "Requests a second.",
        (("sum by (status) (rate(waferlens_requests_total[5m]))", "{{status}}"),),
        unit="reqps",
    ),
    Panel(
        "Failures",
        "Images that went to people because something went wrong, a minute.",
        (("sum by (failure) (rate(waferlens_alarms_total[5m])) * 60 or vector(0)", "{{failure}}"),),
    ),
    Panel(
        "What waits",
        "The journal is empty unless database or store are lost.",
        (
            ("sum(waferlens_journal_waiting)", "journal"),
            ("sum(waferlens_pictures_pending)", "pictures to draw"),
        ),
    ),
    Panel(
        "Disk left",
        "Of the record's disk.",
        (("min by (instance) (waferlens_disk_free_bytes / waferlens_disk_size_bytes)", "{{instance}}"),),
        unit="percentunit",
        limit=0.1,
    ),
    Panel(
        "Silence",
        "Seconds since the last image.",
        (("time() - max(waferlens_last_image_timestamp_seconds)", "since the last image"),),
        unit="s",
        limit=900,
    ),
    Panel(
        "Clock",
        "The machine's against Prometheus'.",
        (("waferlens_clock_seconds - timestamp(waferlens_clock_seconds)", "{{instance}}"),),
        unit="s",
    ),
)
DASHBOARDS = {"line": LINE, "quality": QUALITY, "model": MODEL, "system": SYSTEM}


def dashboard(name: str, panels: tuple[Panel, ...]) -> dict[str, object]:
    """One dashboard as Grafana imports it."""
    x = y = 0
    placed = []
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > 24:
            x, y = 0, y + 8
        placed.append(_placed(number, panel, x, y))
        x += panel.width
    return {
        "uid": f"waferlens-{name}",
        "title": f"waferlens: {name}",
        "tags": ["waferlens"],
        "schemaVersion": 36,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "prometheus", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": placed,
    }


def _placed(number: int, panel: Panel, x: int, y: int) -> dict[str, object]:
    steps: list[dict[str, object]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    defaults: dict[str, object] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries" and panel.limit is not None:
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": 8},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for index, (expr, legend) in enumerate(panel.queries)
        ],
    }


def rendered(name: str) -> str:
    """The JSON file of one dashboard."""
    return json.dumps(dashboard(name, DASHBOARDS[name]), indent=1) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for each in DASHBOARDS:
        (folder / f"{each}.json").write_text(rendered(each), encoding="utf-8")

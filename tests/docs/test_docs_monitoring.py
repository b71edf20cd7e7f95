"""docs/monitoring.md names every metric, alert, dashboard, alarm and signature, and none that is not there."""

from __future__ import annotations

import re
import tomllib

import pages
import yaml

import line
from waferlens.monitoring.options import WatchOptions
from waferlens.monitoring.record_metrics import RECORD_GAUGES
from waferlens.monitoring.signature_regions import Signature
from waferlens.settings.service import ServiceSettings
from waferlens.storage.alarms import AlarmKind

PAGE = pages.PAGES["docs/monitoring.md"]
DEPLOY = pages.ROOT / "deploy"
OF_TLS = "waferlens_certificate_end_timestamp_seconds"


def listed_metrics() -> dict[str, tuple[str, set[str]]]:
    found = {}
    for names, kind, labels, _ in pages.rows(pages.section(PAGE, "## Metrics")):
        for name in re.findall(r"`(waferlens_\w+)`", names):
            found[name] = (kind, {label.strip() for label in labels.split(",") if label.strip()})
    return found


def test_every_metric_of_a_service_stands_on_the_page_with_its_type_and_labels(tmp_path):
    with line.a_service(tmp_path) as service:
        service.figures.refresh(at_once=True)
        served = {family.name: family for family in service.metrics.registry.collect()}
    listed = listed_metrics()
    assert set(listed) == set(served) | {OF_TLS}
    for name, family in served.items():
        assert listed[name][0] == family.type, name
        told = {label for sample in family.samples for label in sample.labels if label != "le"}
        assert told <= listed[name][1], name
    for name, (_, labels) in RECORD_GAUGES.items():
        assert listed[name][1] == set(labels), name


def test_every_metric_that_a_rule_or_a_panel_asks_for_is_one_of_these():
    known = set(listed_metrics())
    texts = [(DEPLOY / "prometheus" / "waferlens.rules.yml").read_text()]
    texts += [path.read_text() for path in (DEPLOY / "grafana").glob("*.json")]
    asked = {name for text in texts for name in re.findall(r"waferlens_[a-z_]+", text)}
    stripped = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked}
    assert stripped <= known | {"waferlens_"}


def test_every_alert_has_its_section_and_no_other():
    rules = yaml.safe_load((DEPLOY / "prometheus" / "waferlens.rules.yml").read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    written = re.findall(r"^### (\w+)$", PAGE.split("## Alerts\n", 1)[1], flags=re.MULTILINE)
    assert written == alerts


def test_every_kind_of_alarm_and_every_signature_stands_on_the_page():
    kinds = {row[0].strip("`") for row in pages.rows(pages.section(PAGE, "## Alarms"))}
    assert kinds == set(AlarmKind)
    shown = {row[0] for row in pages.rows(pages.section(PAGE, "## Wafer signatures"))}
    assert shown == {str(each) for each in Signature} - {str(Signature.NONE)}


def test_the_settings_of_the_page_are_the_defaults():
    (example,) = pages.blocks(pages.section(PAGE, "## Settings"), "toml")
    assert ServiceSettings.model_validate(tomllib.loads(example)).watch == WatchOptions()
    (product,) = pages.blocks(pages.section(PAGE, "## Wafer signatures"), "toml")
    read = ServiceSettings.model_validate(tomllib.loads(product)).products["logic-a"]
    assert read.map is not None
    assert len(read.map.places_mm()) == read.num_points

"""The tables of docs/service.md say what the code does."""

from __future__ import annotations

import re

import pages

from waferlens.settings.service import ServiceSettings
from waferlens.web.access import ACCESS
from waferlens.web.problems import STATUS

PAGE = pages.PAGES["docs/service.md"]


def test_every_endpoint_stands_on_the_page_and_no_other():
    listed = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /\S+)`", pages.section(PAGE, "## The API")))
    assert listed == {f"{method} {path}" for method, path in ACCESS if not path.startswith("/docs")}


def test_every_status_of_an_error_stands_on_the_page():
    statuses = set(re.findall(r"\b([45]\d\d)\b", pages.section(PAGE, "## The API")))
    assert {str(status) for status in STATUS.values()} - {"404", "500"} <= statuses


def test_the_settings_of_the_example_are_read_and_are_the_defaults():
    import tomllib

    (example,) = pages.blocks(PAGE, "toml")
    read, default = ServiceSettings.model_validate(tomllib.loads(example)), ServiceSettings()
    assert read.inspection == default.inspection
    assert read.max_upload_bytes == default.max_upload_bytes
    assert read.products["transistor"].num_points == 200

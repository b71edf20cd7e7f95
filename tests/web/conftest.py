"""A real server on loopback over a pool that needs no network."""

from __future__ import annotations

import pytest

import line
from waferlens.settings.service import ProductOptions, ServiceSettings


@pytest.fixture(scope="module")
def pool():
    return line.BrightnessPool()


@pytest.fixture(scope="module")
def served(tmp_path_factory, pool):
    settings = ServiceSettings(
        products={"line": ProductOptions(num_points=4)}, max_upload_bytes=400_000, upload_seconds=2.0
    )
    home = tmp_path_factory.mktemp("served")
    with line.a_service(home, pool, settings) as service, line.listening(service) as running:
        yield running

"""A real server on loopback over a pool that needs no network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import line
from waferlens.settings.service import ProductOptions, ServiceSettings

# The generator of hostile files lives with the tests of the chapter that must refuse them.
sys.path.append(str(Path(__file__).parents[1] / "images"))


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


@pytest.fixture(scope="session")
def num_examples() -> int:
    """How many hostile things are sent: 300, or ``WAFERLENS_FUZZ`` of them."""
    return int(os.environ.get("WAFERLENS_FUZZ", "300"))


@pytest.fixture(scope="session")
def num_kills() -> int:
    """How often the service is killed: 3 times, or ``WAFERLENS_KILLS``."""
    return int(os.environ.get("WAFERLENS_KILLS", "3"))


@pytest.fixture(scope="session")
def outage_seconds() -> float:
    """How long the database stays away: 4 s, or ``WAFERLENS_OUTAGE``."""
    return float(os.environ.get("WAFERLENS_OUTAGE", "4"))

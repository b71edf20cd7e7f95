"""The station twice: over a pool without a network for questions of access, over a real bundle for browsers."""

from __future__ import annotations

import pytest
from busy import PASSWORD, PEOPLE, a_real_service, images, send
from station_client import StationClient

import line
from browser import a_browser
from waferlens.settings.service import ProductOptions, ServiceSettings


@pytest.fixture(scope="module")
def served_station(tmp_path_factory):
    settings = ServiceSettings(products={"line": ProductOptions(num_points=4)})
    with (
        line.a_service(tmp_path_factory.mktemp("station"), line.BrightnessPool(), settings) as service,
        line.listening(service) as served,
    ):
        for name, role in PEOPLE.items():
            service.record.accounts.create_user(name, role, PASSWORD, "tests")
        yield served


@pytest.fixture
def visit(served_station):
    """A browser without a screen: keeps cookies, follows nothing, sends the form's token if it has one."""
    opened = []

    def open_one(name: str | None = None) -> StationClient:
        client = StationClient(served_station.url)
        opened.append(client)
        if name is not None:
            assert client.sign_in(name).status == 303
        return client

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture(scope="session")
def browser():
    with a_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def drawn():
    """PNG files by wafer and point."""
    return images()


@pytest.fixture(scope="module")
def busy_station(tmp_path_factory, exported, drawn):
    """A real service over the tiny detector, with inspected wafers; each file of tests has its own."""
    home = tmp_path_factory.mktemp("busy")
    with a_real_service(home, exported) as service, line.listening(service) as served:
        send(served, drawn)
        yield served

"""The station over a service that needs no network, as the tests of access and forms see it."""

from __future__ import annotations

import pytest
from station_client import PASSWORD, StationClient

import line
from waferlens.settings.service import ProductOptions, ServiceSettings
from waferlens.storage.accounts import Role

PEOPLE = {"ann": Role.INSPECTOR, "bea": Role.INSPECTOR, "eve": Role.ENGINEER, "ada": Role.ADMIN}


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

"""The record of a rollout, on SQLite and on PostgreSQL; homes with models."""

from __future__ import annotations

import pytest

import postgresql as server_of_tests
from waferlens.lifecycle.rollout import Rollout
from waferlens.storage.audit import AuditLog
from waferlens.storage.database import migrate, open_database


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    with server_of_tests.running(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'record.db'}"
    else:
        url = request.getfixturevalue("postgresql").new_database()
    opened = open_database(url)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def audit(database, tmp_path):
    return AuditLog(database, tmp_path / "head.json")


@pytest.fixture
def rollout(database, audit):
    return Rollout(database, audit)

"""Every test of the record runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import pytest

import postgresql as server_of_tests
from waferlens.storage.audit import AuditLog
from waferlens.storage.database import migrate, open_database


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    with server_of_tests.running(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'record.db'}"
    return request.getfixturevalue("postgresql").new_database()


@pytest.fixture
def database(database_url):
    opened = open_database(database_url)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def audit(database, tmp_path):
    return AuditLog(database, tmp_path / "head.json")

"""The OpenAPI description holds against the service: generated requests of every endpoint, none ends in a 5xx."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

import line
from waferlens.storage.accounts import Role


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with line.a_service(tmp_path_factory.mktemp("schema")) as service, line.listening(service) as running:
        yield running


@pytest.mark.slow
def test_no_generated_request_ends_in_a_server_error(served, num_examples):
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    key = {"Authorization": f"Bearer {served.keys[Role.ADMIN]}"}
    for operation in operations:

        @settings(
            max_examples=max(5, num_examples // len(operations)),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def holds(case):
            case.validate_response(case.call(headers=key), checks=[not_a_server_error])

        holds()

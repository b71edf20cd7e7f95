"""Every endpoint by every role: what the table allows happens, everything else is refused."""

from __future__ import annotations

import json

import pytest

import line
from waferlens.storage.accounts import Role
from waferlens.web.access import ACCESS, check_table
from waferlens.web.client import Client

STATION, INSPECTOR, ENGINEER, ADMIN = Role
READ = {STATION, INSPECTOR, ENGINEER, ADMIN}
# Written out a second time, by hand: a slip in the table of the code must not pass unseen.
EXPECTED = {
    "POST /api/v1/inspect": {STATION, ENGINEER, ADMIN},
    "POST /api/v1/wafers/{wafer_id}/inspect": {STATION, ENGINEER, ADMIN},
    "GET /api/v1/inspections": READ,
    "GET /api/v1/inspections/{inspection_id}": READ,
    "GET /api/v1/inspections/{inspection_id}/heatmap.png": READ,
    "GET /api/v1/inspections/{inspection_id}/reconstruction.png": READ,
    "GET /api/v1/inspections/{inspection_id}/original": READ,
    "GET /api/v1/heatmaps/{name}": READ,
    "GET /api/v1/counts": READ,
    "GET /api/v1/wafers": READ,
    "GET /api/v1/wafers/{wafer_id}": READ,
    "POST /api/v1/wafers/{wafer_id}/disposition": {INSPECTOR, ENGINEER, ADMIN},
    "GET /api/v1/products": READ,
    "GET /api/v1/alarms": READ,
    "POST /api/v1/alarms/{seq}/acknowledge": {INSPECTOR, ENGINEER, ADMIN},
    "POST /api/v1/alarms/{seq}/clear": {ENGINEER, ADMIN},
    "GET /api/v1/model": READ,
    "POST /api/v1/model": {ENGINEER, ADMIN},
    "GET /api/v1/model/bands": READ,
    "PUT /api/v1/model/band": {ENGINEER, ADMIN},
    "GET /api/v1/keys": {ADMIN},
    "POST /api/v1/keys": {ADMIN},
    "DELETE /api/v1/keys/{key_id}": {ADMIN},
    "POST /api/v1/users": {ADMIN},
    "DELETE /api/v1/users/{user}": {ADMIN},
    "GET /api/v1/audit": {ENGINEER, ADMIN},
}
PUBLIC = {
    "POST /api/v1/login", "GET /healthz", "GET /readyz", "GET /metrics", "GET /docs", "GET /docs/{file}",
}  # fmt: skip
FILLED = {
    "{wafer_id}": "WF-0",
    "{inspection_id}": "0" * 32,
    "{name}": "WF-0-0.png",
    "{key_id}": "0",
    "{user}": "nobody",
    "{seq}": "1",
    "{file}": "start.js",
}


def ask(client: Client, endpoint: str):
    method, path = endpoint.split(" ")
    for name, value in FILLED.items():
        path = path.replace(name, value)
    if path == "/api/v1/inspect":
        return client.ask(method, path + "?wafer_id=W&inspection_point=0", line.png())
    body = b"{}" if method in ("POST", "PUT") else None
    return client.ask(method, path, body, {"Content-Type": "application/json"} if body else None)


def test_the_table_of_the_code_has_these_endpoints_and_no_others():
    assert {f"{method} {path}" for method, path in ACCESS} == set(EXPECTED) | PUBLIC


def test_a_route_that_nobody_thought_about_does_not_start():
    from fastapi import APIRouter

    router = APIRouter()
    router.get("/api/v1/forgotten")(lambda: None)
    with pytest.raises(KeyError, match="forgotten"):
        check_table([router])


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("endpoint", EXPECTED)
def test_a_role_may_what_the_table_says_and_nothing_else(served, endpoint, role):
    client = served.client(role)
    reply = ask(client, endpoint)
    client.close()
    if role in EXPECTED[endpoint]:
        assert reply.status not in (401, 403)
    else:
        assert reply.status == 403


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer nonsense", "Basic YTpi", "Bearer wlk_0_0", "bearer  "])
@pytest.mark.parametrize("endpoint", EXPECTED)
def test_without_a_good_key_everything_is_refused(served, endpoint, header):
    client = Client(served.url, "")
    method, path = endpoint.split(" ")
    for name, value in FILLED.items():
        path = path.replace(name, value)
    reply = client.ask(method, path, None, {"Authorization": header or ""})
    client.close()
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("endpoint", sorted(PUBLIC))
def test_what_is_public_needs_no_key(served, endpoint):
    client = Client(served.url, "")
    reply = ask(client, endpoint)
    client.close()
    assert reply.status in (200, 422)


def test_a_person_logs_in_and_acts_in_the_role_of_the_account(served):
    admin = served.client(Role.ADMIN)
    told = {"Content-Type": "application/json"}
    account = {"name": "ann", "role": "inspector", "password": "a long enough password"}
    assert admin.ask("POST", "/api/v1/users", json.dumps(account).encode(), told).status == 201
    assert admin.ask("POST", "/api/v1/users", json.dumps(account).encode(), told).status == 409

    def log_in(password):
        body = json.dumps({"name": "ann", "password": password}).encode()
        return admin.ask("POST", "/api/v1/login", body, told)

    assert log_in("wrong").status == 401
    ann = Client(served.url, log_in(account["password"]).content["token"])
    assert ann.ask("GET", "/api/v1/wafers").status == 200
    assert ann.ask("GET", "/api/v1/keys").status == 403
    assert admin.ask("DELETE", "/api/v1/users/ann").status == 204
    assert ann.ask("GET", "/api/v1/wafers").status == 401
    ann.close()
    admin.close()


def test_a_revoked_key_is_useless_at_once(served):
    admin, told = served.client(Role.ADMIN), {"Content-Type": "application/json"}
    made = admin.ask("POST", "/api/v1/keys", json.dumps({"name": "new", "role": "station"}).encode(), told)
    new = Client(served.url, made.content["token"])
    assert new.ask("GET", "/api/v1/model").status == 200
    assert admin.ask("DELETE", f"/api/v1/keys/{made.content['token'].split('_')[1]}").status == 204
    assert new.ask("GET", "/api/v1/model").status == 401
    new.close()
    admin.close()

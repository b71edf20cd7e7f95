"""The door of the station: who may open which page, sessions, the lock, forms from elsewhere, headers."""

from __future__ import annotations

import pytest
from busy import PASSWORD
from station_client import StationClient

from waferlens.storage.accounts import Role
from waferlens.web.access import PAGES

PEOPLE = {Role.INSPECTOR, Role.ENGINEER, Role.ADMIN}
ENGINEERS = {Role.ENGINEER, Role.ADMIN}
ADMINS = {Role.ADMIN}
# Written out a second time, by hand: a slip in the table of the code must not pass unseen.
EVERYBODY = {
    "GET /", "GET /station/assets/{version}/{name}", "GET /station/sign-in", "POST /station/sign-in",
    "POST /station/theme",
}  # fmt: skip
SIGNED_IN = {
    "POST /station/sign-out", "GET /station/unlock", "POST /station/unlock", "POST /station/lock",
    "POST /station/awake", "GET /station", "GET /station/line",
    "POST /station/alarms/{seq}/acknowledge", "GET /station/wafers",
    "GET /station/wafers/{wafer_id}", "POST /station/wafers/{wafer_id}/disposition", "GET /station/lots/{lot_id}",
    "GET /station/inspections/{inspection_id}", "GET /station/pictures/{inspection_id}/image.png",
    "GET /station/pictures/{inspection_id}/expected.png", "GET /station/pictures/{inspection_id}/deviation.png",
    "GET /station/pictures/{inspection_id}/small.png", "GET /station/review", "GET /station/arbitration",
    "POST /station/review/next", "POST /station/review/undo", "GET /station/review/items/{item_id}",
    "POST /station/review/items/{item_id}/verdict", "POST /station/review/items/{item_id}/keep",
    "POST /station/review/items/{item_id}/release", "GET /station/review/items/{item_id}/image.png",
    "GET /station/review/items/{item_id}/expected.png", "GET /station/review/items/{item_id}/deviation.png",
    "GET /station/atlas", "POST /station/atlas/label", "POST /station/atlas/undo", "GET /station/figures",
    "GET /station/figures/{person}", "GET /station/watch", "GET /station/watch/alarms/{seq}",
    "GET /station/watch/drift", "GET /station/watch/signatures", "GET /station/watch/escapes",
    "GET /station/watch/report",
}  # fmt: skip
ENGINEERING = {
    "POST /station/alarms/{seq}/clear", "POST /station/watch/alarms/{seq}/name",
    "GET /station/model", "POST /station/model", "POST /station/model/band",
    "GET /station/audit",
    "GET /station/classes", "POST /station/classes/add", "POST /station/classes/retire",
    "POST /station/known/add", "POST /station/known/retire",
    "GET /station/rollout", "POST /station/rollout/start", "POST /station/rollout/advance",
    "POST /station/rollout/abort", "POST /station/rollout/rollback",
}  # fmt: skip
ADMINISTRATION = {
    "GET /station/people", "POST /station/people", "POST /station/people/disable", "POST /station/keys",
    "POST /station/keys/revoke",
}  # fmt: skip
EXPECTED = (
    dict.fromkeys(SIGNED_IN, PEOPLE) | dict.fromkeys(ENGINEERING, ENGINEERS)
    | dict.fromkeys(ADMINISTRATION, ADMINS)
)  # fmt: skip
FILLED = {
    "{version}": "0", "{name}": "station.css", "{wafer_id}": "WF-0", "{lot_id}": "LOT-0",
    "{inspection_id}": "0" * 32, "{item_id}": "0" * 32, "{seq}": "1",
}  # fmt: skip
BY_ROLE = {Role.INSPECTOR: "ann", Role.ENGINEER: "eve", Role.ADMIN: "ada"}
# What ends or locks the session that the other questions are asked with.
ENDING = {"POST /station/sign-out", "POST /station/lock"}


def ask(client: StationClient, endpoint: str, **headers: str):
    method, path = endpoint.split(" ")
    for name, value in FILLED.items():
        path = path.replace(name, value)
    path = path.replace("{person}", client.name)
    return client.get(path, **headers) if method == "GET" else client.post(path, **headers)


def test_the_table_of_the_code_has_these_pages_and_no_others():
    assert {f"{method} {path}" for method, path in PAGES} == set(EXPECTED) | EVERYBODY


@pytest.mark.parametrize("role", sorted(PEOPLE))
def test_a_role_opens_what_the_table_says_and_nothing_else(visit, role):
    client = visit(BY_ROLE[role])
    for endpoint in sorted(set(EXPECTED) - ENDING):
        status = ask(client, endpoint).status
        asked_by_role = "GET /station/arbitration"  # the review itself refuses inspectors: by its options
        if role in EXPECTED[endpoint] and endpoint != asked_by_role:
            assert status not in (401, 403), endpoint
        elif endpoint != asked_by_role:
            assert status == 403, endpoint


def test_without_a_session_every_page_leads_to_signing_in(visit):
    for endpoint in sorted(EXPECTED):
        page = ask(visit(), endpoint)
        assert (page.status, page.goes_to.split("?")[0]) == (303, "/station/sign-in"), endpoint
        assert "session" not in page.text


def test_a_script_without_a_session_is_told_so_as_by_the_api(visit):
    page = visit().get("/station/line", X_Background="1")
    assert (page.status, page.headers["content-type"]) == (401, "application/problem+json")


def test_a_key_of_a_machine_opens_no_page_and_a_session_opens_no_endpoint_of_the_api(visit, served_station):
    key = served_station.keys[Role.ADMIN]
    assert visit().get("/station", Authorization=f"Bearer {key}").status == 303
    assert visit("ada").get("/api/v1/wafers").status == 401


def test_the_account_of_a_machine_does_not_sign_in(visit, served_station):
    served_station.service.record.accounts.create_user("camera", Role.STATION, PASSWORD, "tests")
    page = visit().sign_in("camera")
    assert page.status == 403
    assert "machine" in page.text


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("nobody", PASSWORD), ("\x00", "é")])
def test_whatever_is_wrong_the_answer_is_the_same(visit, name, password):
    client = visit()
    page = client.sign_in(name, password)
    assert page.status == 401
    assert "Name or password is wrong." in page.text
    assert not client.cookies


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(visit):
    client = visit()
    (given,) = client.sign_in("ann").set_cookies
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(given.split("; "))
    secret = client.cookies["waferlens"]
    assert secret not in client.get("/station").text


def test_the_record_holds_no_session_that_could_be_used(visit, served_station):
    client = visit("ann")
    with served_station.service.record.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM sessions").fetchall()
    assert rows
    assert not any(client.cookies["waferlens"] in map(str, row) for row in rows)


def test_signing_out_ends_the_session_on_the_server(visit):
    client = visit("ann")
    kept = dict(client.cookies)
    assert client.post("/station/sign-out").goes_to == "/station/sign-in"
    client.cookies = kept
    assert client.get("/station").status == 303


def test_a_disabled_person_is_signed_out_at_once(visit, served_station):
    accounts = served_station.service.record.accounts
    accounts.create_user("tom", Role.INSPECTOR, PASSWORD, "tests")
    client = visit("tom")
    accounts.disable_user("tom", "tests")
    assert client.get("/station").status == 303


def test_a_locked_session_shows_nothing_until_the_password_comes(visit):
    client = visit("ann")
    assert client.post("/station/lock").status == 204
    for path in ("/station", "/station/wafers", "/station/review"):
        assert client.get(path).goes_to.startswith("/station/unlock?to=")
    told = client.get("/station/line", X_Background="1")
    assert (told.status, '"SessionLocked"' in told.text) == (401, True)
    assert client.post("/station/unlock", {"password": "wrong"}).status == 401
    assert client.get("/station").status == 303
    page = client.post("/station/unlock", {"password": PASSWORD, "to": "/station/wafers?x=1"})
    assert (page.status, page.goes_to) == (303, "/station/wafers?x=1")
    assert client.get("/station").status == 200


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
])  # fmt: skip
def test_what_another_site_posts_is_refused(visit, headers):
    client = visit("ann")
    assert client.post("/station/lock", **headers).status == 403
    assert visit().post("/station/sign-in", {"name": "ann", "password": PASSWORD}, **headers).status == 403
    assert client.get("/station").status == 200


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_without_the_token_of_its_session_is_refused(visit, token):
    client, other = visit("ann"), visit("bea")
    for told in (token, other.token):
        assert client.post("/station/lock", {"form_token": told}).status == 403
        assert client.post("/station/lock", X_Form_Token=told.encode("ascii", "replace").decode()).status == 403
    assert client.post("/station/lock").status == 204


@pytest.mark.parametrize("to", [
    "http://evil.example", "//evil.example", "/\\evil.example", "/station//evil.example", "/api/v1/model",
    "/stationx", "javascript:alert(1)", "/station\r\nX: y",
])  # fmt: skip
def test_no_link_leads_out_of_the_station(visit, to):
    assert visit().sign_in("ann", to=to).goes_to == "/station"


def test_every_page_says_what_a_browser_may_do_with_it(visit):
    client = visit("ada")
    for path in ("/station", "/station/sign-in", "/station/people", "/station/nothing", "/station/line"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


def test_what_people_write_is_shown_as_text(visit, served_station):
    camera = served_station.client()
    import line

    camera.inspect(line.png(120), "WF-7", 1)
    camera.close()
    client, written = visit("ann"), "<script>alert(1)</script>"
    told = {"disposition": "REJECT", "reason": written}
    assert client.post("/station/wafers/WF-7/disposition", told).status == 303
    text = client.get("/station/wafers/WF-7").text
    assert written not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_an_asset_is_kept_by_the_browser_under_the_address_of_its_content_alone(visit):
    client = visit()
    text = client.get("/station/sign-in").text
    address = text.split('rel="stylesheet" href="')[1].split('"')[0]
    assert "immutable" in client.get(address).headers["cache-control"]
    assert client.get("/station/assets/older/station.css").headers["cache-control"] == "no-store"
    assert client.get("/station/assets/0/base.html.j2").status == 404
    assert client.get("/station/assets/0/..%2F..%2Fshell.py").status == 404


def test_a_key_is_shown_once_and_works(visit):
    client = visit("ada")
    page = client.post("/station/keys", {"name": "camera-9", "role": "station"})
    key = page.text.split('key-text">')[1].split("<")[0]
    assert key.startswith("wlk_")
    assert key not in client.get("/station/people").text
    assert visit().get("/api/v1/model", Authorization=f"Bearer {key}").status == 200
    client.post("/station/keys/revoke", {"key_id": key.split("_")[1]})
    assert visit().get("/api/v1/model", Authorization=f"Bearer {key}").status == 401


def test_nobody_locks_themselves_out(visit):
    client = visit("ada")
    assert client.post("/station/people/disable", {"name": "ada"}).status == 422
    assert client.get("/station").status == 200

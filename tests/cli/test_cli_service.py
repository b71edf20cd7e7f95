"""The commands around the service: keys, people, the audit log, backup, and a load that is held to the record."""

from __future__ import annotations

import json
import sqlite3

import pytest

import line
from waferlens.storage.accounts import Role


def test_a_key_is_printed_once_listed_without_its_secret_and_revoked(here, tmp_path):
    home = tmp_path / "home"
    key = here("keys", "create", "--home", home, "--role", "station", "--name", "camera-1").out.strip()
    listed = here("keys", "list", "--home", home).out
    entry = json.loads(listed)
    assert (entry["name"], entry["role"], entry["revoked_ms"]) == ("camera-1", "station", None)
    assert key.split("_", 2)[2] not in listed
    assert here("keys", "revoke", "--home", home, entry["id"]).code == 0
    assert json.loads(here("keys", "list", "--home", home).out)["revoked_ms"] is not None
    assert here("keys", "revoke", "--home", home, entry["id"]).code == 1


@pytest.mark.parametrize("group", ["keys", "users"])
def test_an_unknown_role_is_one_line_of_error(here, tmp_path, group):
    arguments = ["bob"] if group == "users" else []
    ran = here(group, "create", *arguments, "--home", tmp_path, "--role", "king")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "station, inspector, engineer, admin" in ran.err


def test_the_audit_log_is_verified_and_tampering_is_exit_code_1(here, tmp_path):
    password = tmp_path / "password"
    password.write_text("a long enough password\n")
    assert (
        here("users", "create", "ann", "--home", tmp_path, "--role", "admin", "--password-file", password).code
        == 0
    )
    assert here("audit", "verify", "--home", tmp_path).out == "1 entries, unbroken\n"
    connection = sqlite3.connect(tmp_path / "record.db")
    connection.execute("DROP TRIGGER audit_log_no_UPDATE")
    connection.execute("UPDATE audit_log SET actor = 'nobody'")
    connection.commit()
    connection.close()
    assert here("audit", "verify", "--home", tmp_path).code == 1


def test_backup_restore_and_prune_go_from_home_to_home(here, tmp_path):
    old, new, copy = tmp_path / "old", tmp_path / "new", tmp_path / "copy"
    key = here("keys", "create", "--home", old, "--role", "station").out.strip()
    assert json.loads(here("backup", "--home", old, "--to", copy).out)["api_keys"] == 1
    assert json.loads(here("restore", "--home", new, "--from", copy).out)["api_keys"] == 1
    assert here("restore", "--home", new, "--from", copy).code == 1
    assert here("audit", "verify", "--home", new).code == 0
    assert key.split("_")[1] in here("keys", "list", "--home", new).out
    assert json.loads(here("prune", "--home", new).out)["num_inspections"] == 0


@pytest.fixture
def served(tmp_path):
    with line.a_service(tmp_path / "home") as service, line.listening(service) as running:
        yield running


def test_files_are_posted_as_the_points_of_a_wafer(here, served, tmp_path, monkeypatch):
    monkeypatch.setenv("WAFERLENS_KEY", served.keys[Role.STATION])
    for name, grey in (("a.png", 20), ("b.png", 250)):
        (tmp_path / name).write_bytes(line.png(grey))
    ran = here("client", tmp_path / "a.png", tmp_path / "b.png", "--wafer", "WF-1", "--url", served.url)
    answers = [json.loads(each) for each in ran.out.splitlines()]
    assert [(each["inspection_point"], each["decision"]) for each in answers] == [(0, "PASS"), (1, "REJECT")]


def test_a_load_prints_the_promised_figures(here, served, tmp_path):
    (tmp_path / "a.png").write_bytes(line.png(20))
    key = served.keys[Role.STATION]
    told = ["--url", served.url, "--key", key, "--images", tmp_path, "--rate", 20, "--seconds", 1]
    figures = json.loads(here("bench", "serve", *told, "--json").out)
    promised = {"p50_ms", "p95_ms", "p99_ms", "images_per_second", "num_requests", "num_errors", "num_lost"}
    assert promised <= set(figures)
    assert (figures["num_errors"], figures["num_lost"]) == (0, 0)
    assert here("bench", "serve", *told[:2], "--key", "wrong", "--images", tmp_path).code == 1

"""Keys, people and the audit log: hashes only, and a chain that shows every change."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DatabaseError

from waferlens.errors import AuditError, Conflict, DatabaseLost, NotAuthenticated, NotFound, OptionsError
from waferlens.records import DecisionKind
from waferlens.storage import histories
from waferlens.storage.accounts import Accounts, Role
from waferlens.storage.audit import AuditLog
from waferlens.storage.histories import Band, Disposition
from waferlens.storage.schema import audit_log

PASSWORD = "a long enough password"


@pytest.fixture
def accounts(database, audit):
    return Accounts(database, audit)


def everything_kept(database) -> str:
    with database.reading() as connection:
        tables = ("api_keys", "users", "logins", "audit_log")
        return str([tuple(row) for table in tables for row in connection.execute(text(f"SELECT * FROM {table}"))])


def test_a_key_is_known_by_its_secret_until_it_is_revoked(accounts):
    key = accounts.create_key("camera-1", Role.STATION, "tests")
    assert accounts.identify(key).name == "camera-1"
    with pytest.raises(NotAuthenticated):
        accounts.identify(key[:-1] + ("a" if key[-1] != "a" else "b"))
    accounts.revoke_key(accounts.all_keys()[0].id, "tests")
    with pytest.raises(NotAuthenticated):
        accounts.identify(key)


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "../x", "x\0", "\u00e9"])
def test_a_name_of_another_form_is_refused(accounts, name):
    for ask in (
        lambda: accounts.create_key(name, Role.STATION, "tests"),
        lambda: accounts.create_user(name, Role.ADMIN, PASSWORD, "tests"),
    ):
        with pytest.raises(OptionsError, match="name"):
            ask()


@pytest.mark.parametrize(
    "token", ["", "wlk", "wlk__", "wlk_%_x", "wll_", "Bearer x", "wlk_' OR 1=1 --_x", "\u00e9_\u00e9"]
)
def test_a_token_of_no_meaning_is_nobodys(accounts, token):
    with pytest.raises(NotAuthenticated):
        accounts.identify(token)


def test_no_secret_is_kept_anywhere(accounts, database):
    key = accounts.create_key("camera-1", Role.STATION, "tests")
    accounts.create_user("ann", Role.INSPECTOR, PASSWORD, "tests")
    token, _ = accounts.log_in("ann", PASSWORD)
    kept = everything_kept(database)
    assert "argon2id" in kept
    for secret in (key.split("_", 2)[2], PASSWORD, token.split("_", 1)[1]):
        assert secret not in kept


def test_a_person_logs_in_with_the_password_alone_and_is_out_once_disabled(accounts):
    accounts.create_user("ann", Role.ENGINEER, PASSWORD, "tests")
    with pytest.raises(Conflict):
        accounts.create_user("ann", Role.ADMIN, PASSWORD, "tests")
    with pytest.raises(OptionsError):
        accounts.create_user("bob", Role.ADMIN, "short", "tests")
    for name, password in (("ann", "wrong"), ("nobody", PASSWORD)):
        with pytest.raises(NotAuthenticated, match="name or password"):
            accounts.log_in(name, password)
    token, identity = accounts.log_in("ann", PASSWORD)
    assert accounts.identify(token) == identity
    accounts.disable_user("ann", "tests")
    with pytest.raises(NotAuthenticated):
        accounts.identify(token)
    with pytest.raises(NotAuthenticated):
        accounts.log_in("ann", PASSWORD)
    with pytest.raises(NotFound):
        accounts.disable_user("ann", "tests")


def a_chain(audit: AuditLog, length: int = 4) -> None:
    for number in range(length):
        audit.record("ann", "something done", {"number": number})


def unguarded(database, sql: str, **told: object) -> None:
    """What somebody with the database's own password can do."""
    with database.writing() as connection:
        if database.is_sqlite:
            for verb in ("UPDATE", "DELETE"):
                connection.execute(text(f"DROP TRIGGER audit_log_no_{verb}"))
        else:
            connection.execute(text("DROP TRIGGER audit_log_append_only ON audit_log"))
        connection.execute(text(sql), told)


def test_an_untouched_chain_is_whole(audit):
    a_chain(audit)
    assert audit.verify() == 4
    assert [entry.seq for entry in audit.entries(limit=2)] == [4, 3]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_log SET detail = '{}' WHERE seq = 2",
        "UPDATE audit_log SET actor = 'bob' WHERE seq = 4",
        "DELETE FROM audit_log WHERE seq = 1",
        "DELETE FROM audit_log WHERE seq = 3",
        "DELETE FROM audit_log WHERE seq = 4",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET seq = 9 WHERE seq = 4",
    ],
)
def test_a_chain_that_somebody_altered_is_broken(audit, database, sql):
    a_chain(audit)
    unguarded(database, sql)
    with pytest.raises(AuditError):
        audit.verify()


@pytest.mark.parametrize("sql", ["UPDATE audit_log SET actor = 'bob'", "DELETE FROM audit_log"])
def test_the_database_itself_refuses_to_change_an_entry(audit, database, sql):
    a_chain(audit)
    with pytest.raises((DatabaseLost, DatabaseError)), database.writing() as connection:
        connection.execute(text(sql))
    assert audit.verify() == 4


def test_a_second_chain_cannot_branch_off(audit, database):
    a_chain(audit)
    entry = audit.entries(limit=1)[0]
    with pytest.raises(DatabaseError), database.writing() as connection:
        connection.execute(insert(audit_log), vars(entry) | {"seq": 5})


def test_a_change_and_its_entry_are_kept_together_or_not_at_all(audit, database):
    def half_done():
        with database.writing() as connection:
            audit.append(connection, "ann", "half done", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_done()
    assert audit.verify() == 0


def test_the_newest_band_of_a_model_holds_and_the_older_ones_are_told(database):
    def band(review, model="m"):
        return Band(
            model_version=model, review_threshold=review, reject_threshold=9.0, reason="r", set_by="ann", set_ms=1
        )

    with database.writing() as connection:
        for each in (band(1.0), band(2.0), band(3.0, "other")):
            histories.add_band(connection, each)
        assert histories.newest_band(connection, "m") == band(2.0)
        assert histories.bands_of(connection, "m", limit=5) == [band(2.0), band(1.0)]
        assert histories.newest_band(connection, "unknown") is None


def test_the_last_disposition_of_a_wafer_holds(database):
    def settled(kind):
        return Disposition(
            wafer_id="WF-1", settled_ms=1, disposition=kind, num_points=3, reason="seen", settled_by="ann"
        )

    with database.writing() as connection:
        for kind in (DecisionKind.REVIEW, DecisionKind.PASS):
            histories.add_disposition(connection, settled(kind))
        assert histories.newest_disposition(connection, "WF-1") == settled(DecisionKind.PASS)
        assert histories.newest_disposition(connection, "WF-2") is None

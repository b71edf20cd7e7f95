"""Sessions of people and tries of passwords, on both databases."""

from __future__ import annotations

import threading

import pytest

from waferlens.errors import NotAuthenticated, TooManyAttempts
from waferlens.storage.accounts import Accounts, Identity, Role
from waferlens.storage.attempts import FREE_ATTEMPTS, LONGEST_WAIT_SECONDS, Attempts, wait_seconds
from waferlens.storage.schema import sessions
from waferlens.storage.sessions import Sessions

PASSWORD = "a long enough password"
NOW = 1_700_000_000_000


@pytest.fixture
def ann(database, audit):
    Accounts(database, audit).create_user("ann", Role.INSPECTOR, PASSWORD, "tests")
    return Identity(name="ann", role=Role.INSPECTOR)


def seen_ago(database, seconds):
    with database.writing() as connection:
        connection.execute(sessions.update().values(seen_ms=sessions.c.seen_ms - round(1000 * seconds)))


def test_a_secret_finds_its_session_and_no_other_does(database, audit, ann):
    opened = Sessions(database, audit, 60)
    secret = opened.open(ann)
    found = opened.find(secret, used=True)
    assert (found.identity, found.locked) == (ann, False)
    for other in ("", "x", secret[:-1], secret + "x", "\ud800"):
        with pytest.raises(NotAuthenticated):
            opened.find(other, used=True)


def test_a_session_that_nobody_uses_locks_and_use_does_not_unlock_it(database, audit, ann):
    opened = Sessions(database, audit, 60)
    secret = opened.open(ann)
    seen_ago(database, 59)
    assert not opened.find(secret, used=False).locked
    seen_ago(database, 2)
    assert opened.find(secret, used=True).locked
    assert opened.find(secret, used=True).locked
    opened.unlock(secret)
    assert not opened.find(secret, used=False).locked


def test_use_keeps_a_session_awake_and_what_a_page_asks_on_its_own_does_not(database, audit, ann):
    opened = Sessions(database, audit, 60)
    secret = opened.open(ann)
    seen_ago(database, 40)
    opened.find(secret, used=False)
    seen_ago(database, 15)
    opened.find(secret, used=True)
    seen_ago(database, 40)
    assert not opened.find(secret, used=False).locked


def test_a_session_ends_with_the_shift(database, audit, ann):
    opened = Sessions(database, audit, 10**6)
    secret = opened.open(ann)
    with database.writing() as connection:
        connection.execute(sessions.update().values(opened_ms=sessions.c.opened_ms - 12 * 3_600_000 - 1))
    with pytest.raises(NotAuthenticated):
        opened.find(secret, used=True)


def test_opening_and_ending_stand_in_the_audit_log(database, audit, ann):
    opened = Sessions(database, audit, 60)
    opened.end(opened.open(ann), "ann")
    assert [entry.action for entry in audit.entries(limit=2)] == ["signed out", "signed in"]
    audit.verify()


def test_the_wait_doubles_up_to_five_minutes():
    waits = [wait_seconds(number) for number in range(FREE_ATTEMPTS + 12)]
    assert waits[:FREE_ATTEMPTS] == [0] * FREE_ATTEMPTS
    assert waits[FREE_ATTEMPTS : FREE_ATTEMPTS + 4] == [1, 2, 4, 8]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_SECONDS == wait_seconds(10**6)


def test_after_five_wrong_tries_the_next_one_waits_and_a_right_one_starts_anew(database, audit):
    attempts = Attempts(database, audit)
    for _ in range(FREE_ATTEMPTS):
        attempts.begin("ann", NOW)
    with pytest.raises(TooManyAttempts, match="pause of 1 s"):
        attempts.begin("ann", NOW + 999)
    attempts.begin("bea", NOW)
    attempts.begin("ann", NOW + 1000)
    with pytest.raises(TooManyAttempts, match="pause of 2 s"):
        attempts.begin("ann", NOW + 1000)
    assert audit.entries(limit=1)[0].action == "sign-in slowed"
    attempts.succeeded("ann")
    attempts.begin("ann", NOW + 1000)


def test_tries_of_an_hour_ago_are_forgotten(database, audit):
    attempts = Attempts(database, audit)
    for _ in range(FREE_ATTEMPTS):
        attempts.begin("ann", NOW)
    attempts.begin("ann", NOW + 3_600_001)
    attempts.begin("ann", NOW + 3_600_001)


def test_many_tries_at_once_gain_nothing(database, audit):
    attempts, let_through = Attempts(database, audit), []

    def try_once():
        try:
            attempts.begin("ann", NOW)
            let_through.append(1)
        except TooManyAttempts:
            pass

    threads = [threading.Thread(target=try_once) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_through) == FREE_ATTEMPTS


def test_the_right_password_after_too_many_wrong_ones_waits_as_well(database, audit, ann):
    accounts = Accounts(database, audit)
    for _ in range(FREE_ATTEMPTS):
        with pytest.raises(NotAuthenticated):
            accounts.log_in("ann", "wrong")
    with pytest.raises(TooManyAttempts):
        accounts.log_in("ann", PASSWORD)

"""Sessions of people in a browser. The cookie has 256 random bits; here is only its hash.

A session ends with the shift. It locks when nobody used it for a while, and then waits for the password again.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from waferlens.errors import NotAuthenticated
from waferlens.storage.accounts import LOGIN_SECONDS, Identity, Role
from waferlens.storage.audit import AuditLog
from waferlens.storage.database import Database
from waferlens.storage.schema import sessions, users
from waferlens.storage.stored import clock_ms

_NOTED_EVERY_MS = 15_000
"""That somebody is there is not written with every click."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Who sits there, and whether the password must be given again. opened_ms: since when."""

    identity: Identity
    locked: bool
    opened_ms: int


class Sessions:
    """Opens, finds, locks and ends sessions."""

    def __init__(self, database: Database, audit: AuditLog, idle_seconds: float) -> None:
        """idle_seconds: without use until a session locks."""
        self._database, self._audit = database, audit
        self.idle_seconds = idle_seconds

    def open(self, identity: Identity) -> str:
        """A new session; its secret. Raises DatabaseLost."""
        secret, now_ms = secrets.token_urlsafe(32), clock_ms()
        row = {
            "secret_hash": _hash(secret),
            "user": identity.name,
            "opened_ms": now_ms,
            "seen_ms": now_ms,
            "locked": False,
        }
        with self._database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.opened_ms < now_ms - 1000 * LOGIN_SECONDS))
            connection.execute(insert(sessions), row)
            entry = self._audit.append(connection, identity.name, "signed in", {})
        self._audit.note_head(entry)
        return secret

    def find(self, secret: str, *, used: bool) -> Session:
        """The session of a secret. used: a person did something, which keeps it from locking.

        Raises NotAuthenticated where there is none, DatabaseLost.
        """
        now_ms = clock_ms()
        with self._database.reading() as connection:
            row = connection.execute(
                select(users.c.name, users.c.role, sessions.c.opened_ms, sessions.c.seen_ms, sessions.c.locked)
                .join(users, sessions.c.user == users.c.name)
                .where(
                    sessions.c.secret_hash == _hash(secret),
                    sessions.c.opened_ms >= now_ms - 1000 * LOGIN_SECONDS,
                    users.c.disabled_ms.is_(None),
                )
            ).first()
        if row is None:
            raise NotAuthenticated("nobody is signed in here", expected="a session of this shift")
        locked = row.locked or now_ms - row.seen_ms > 1000 * self.idle_seconds
        if used and not locked and now_ms - row.seen_ms > min(_NOTED_EVERY_MS, 250 * self.idle_seconds):
            self._change(secret, seen_ms=now_ms)
        identity = Identity(name=row.name, role=Role(row.role))
        return Session(identity=identity, locked=locked, opened_ms=row.opened_ms)

    def lock(self, secret: str) -> None:
        """Wait for the password from now on. Raises DatabaseLost."""
        self._change(secret, locked=True)

    def unlock(self, secret: str) -> None:
        """The password was given again. Raises DatabaseLost."""
        self._change(secret, locked=False, seen_ms=clock_ms())

    def end(self, secret: str, who: str) -> None:
        """The session is gone. Raises DatabaseLost."""
        with self._database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.secret_hash == _hash(secret)))
            entry = self._audit.append(connection, who, "signed out", {})
        self._audit.note_head(entry)

    def _change(self, secret: str, **values: object) -> None:
        with self._database.writing() as connection:
            connection.execute(update(sessions).where(sessions.c.secret_hash == _hash(secret)).values(**values))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()

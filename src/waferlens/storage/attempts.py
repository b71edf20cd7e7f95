"""How often a name was tried with a wrong password, and how long the next try has to wait.

    wait = 0 for the first five, then 1, 2, 4 ... seconds, at most five minutes; a right password starts anew

A try is counted before the password is looked at: many at once gain nothing. It is counted for names that nobody
has too, so that an answer does not tell which names exist.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import delete, insert, select, text, update

from waferlens.errors import TooManyAttempts
from waferlens.storage.audit import AuditLog
from waferlens.storage.database import Database
from waferlens.storage.schema import sign_in_attempts

FREE_ATTEMPTS = 5
LONGEST_WAIT_SECONDS = 300
_FORGOTTEN_MS = 3_600_000
_LOCK = 0x74727973
_NAME_DIGITS = 40


class Attempts:
    """Counts in the database, so that every process of the service knows them."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database, self._audit = database, audit

    def begin(self, name: str, now_ms: int) -> None:
        """Count a try. Raises TooManyAttempts where it came too early; it is not counted then. DatabaseLost."""
        table, key, entry = sign_in_attempts, _key(name), None
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            connection.execute(delete(table).where(table.c.last_ms < now_ms - _FORGOTTEN_MS))
            row = connection.execute(select(table).where(table.c.name == key)).first()
            num = 0 if row is None else row.num_attempts
            wait_ms = 0 if row is None else row.last_ms + 1000 * wait_seconds(num) - now_ms
            if wait_ms > 0:
                raise TooManyAttempts(
                    "too many wrong passwords for this name", expected=f"a pause of {-(-wait_ms // 1000)} s"
                )
            told = {"num_attempts": num + 1, "last_ms": now_ms}
            if row is None:
                connection.execute(insert(table), told | {"name": key})
            else:
                connection.execute(update(table).where(table.c.name == key).values(**told))
            if num == FREE_ATTEMPTS:
                entry = self._audit.append(connection, "service", "sign-in slowed", {"name": name[:64]})
        if entry is not None:
            self._audit.note_head(entry)

    def succeeded(self, name: str) -> None:
        """The password was right: nothing is held against the name. Raises DatabaseLost."""
        with self._database.writing() as connection:
            connection.execute(delete(sign_in_attempts).where(sign_in_attempts.c.name == _key(name)))


def wait_seconds(num_attempts: int) -> int:
    """Pause after so many tries in vain."""
    beyond = num_attempts - FREE_ATTEMPTS
    return 0 if beyond < 0 else min(2 ** min(beyond, 20), LONGEST_WAIT_SECONDS)


def _key(name: str) -> str:
    """What anybody types fits the column."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_NAME_DIGITS]

"""Who may speak to the service: keys of stations, accounts of people, their logins. Secrets are kept as hashes.

A key's secret has 256 random bits, so one SHA-256 is enough and cheap; a password has few, so it is argon2id.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from dataclasses import dataclass
from enum import StrEnum

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from waferlens.errors import Conflict, NotAuthenticated, NotFound, OptionsError, Overloaded
from waferlens.storage.attempts import Attempts
from waferlens.storage.audit import AuditLog
from waferlens.storage.database import Database
from waferlens.storage.schema import api_keys, logins, sessions, users
from waferlens.storage.stored import clock_ms

LOGIN_SECONDS = 12 * 3600
"""A shift. Then a person logs in again."""

_MIN_PASSWORD = 12
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERIFIED_AT_ONCE, _VERIFY_SECONDS = 2, 1.0
"""argon2 takes 64 MiB and a core for each: anybody may ask, so only so many at once."""
_KEY_PREFIX, _LOGIN_PREFIX = "wlk", "wll"


class Role(StrEnum):
    """What a caller is."""

    STATION = "station"
    INSPECTOR = "inspector"
    ENGINEER = "engineer"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A known caller."""

    name: str
    role: Role


@dataclass(frozen=True, kw_only=True)
class KeyEntry:
    """A key without its secret. revoked_ms: None while it is good."""

    id: str
    name: str
    role: Role
    created_ms: int
    revoked_ms: int | None


@dataclass(frozen=True, kw_only=True)
class UserEntry:
    """A person's account. disabled_ms: None while it is good."""

    name: str
    role: Role
    created_ms: int
    disabled_ms: int | None


class Accounts:
    """Keys, people and logins in the database, every change in the audit log."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database, self._audit = database, audit
        self._attempts = Attempts(database, audit)
        self._hasher = PasswordHasher()
        self._verifying = threading.BoundedSemaphore(_VERIFIED_AT_ONCE)
        # Verified against when there is no such person, so that both answers take the same time.
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    def create_key(self, name: str, role: Role, actor: str) -> str:
        """A new key; this is the only time that it is seen. Raises OptionsError for the name, DatabaseLost."""
        _check_name(name)
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with self._database.writing() as connection:
            row = {
                "id": key_id,
                "name": name,
                "role": str(role),
                "secret_hash": _hash(secret),
                "created_ms": clock_ms(),
            }
            connection.execute(insert(api_keys), row)
            entry = self._audit.append(
                connection, actor, "key created", {"id": key_id, "name": name, "role": str(role)}
            )
        self._audit.note_head(entry)
        return f"{_KEY_PREFIX}_{key_id}_{secret}"

    def all_keys(self) -> list[KeyEntry]:
        """Every key, oldest first. Raises DatabaseLost."""
        with self._database.reading() as connection:
            rows = connection.execute(select(api_keys).order_by(api_keys.c.created_ms, api_keys.c.id))
            return [
                KeyEntry(id=r.id, name=r.name, role=Role(r.role), created_ms=r.created_ms, revoked_ms=r.revoked_ms)
                for r in rows
            ]

    def revoke_key(self, key_id: str, actor: str) -> None:
        """A key is good no longer. Raises NotFound, DatabaseLost."""
        with self._database.writing() as connection:
            good = (api_keys.c.id == key_id) & api_keys.c.revoked_ms.is_(None)
            if connection.execute(update(api_keys).where(good).values(revoked_ms=clock_ms())).rowcount == 0:
                raise NotFound("no such key", found=key_id)
            entry = self._audit.append(connection, actor, "key revoked", {"id": key_id})
        self._audit.note_head(entry)

    def create_user(self, name: str, role: Role, password: str, actor: str) -> None:
        """A person's account. Raises OptionsError for a short password, Conflict for a taken name."""
        _check_name(name)
        if len(password) < _MIN_PASSWORD:
            raise OptionsError("the password is too short", expected=f"at least {_MIN_PASSWORD} characters")
        row = {
            "name": name,
            "role": str(role),
            "password_hash": self._hasher.hash(password),
            "created_ms": clock_ms(),
        }
        try:
            with self._database.writing() as connection:
                connection.execute(insert(users), row)
                entry = self._audit.append(connection, actor, "user created", {"name": name, "role": str(role)})
        except IntegrityError as error:
            raise Conflict("this name is taken", found=name) from error
        self._audit.note_head(entry)

    def all_users(self) -> list[UserEntry]:
        """Every account, by name. Raises DatabaseLost."""
        with self._database.reading() as connection:
            rows = connection.execute(select(users).order_by(users.c.name))
            return [
                UserEntry(name=r.name, role=Role(r.role), created_ms=r.created_ms, disabled_ms=r.disabled_ms)
                for r in rows
            ]

    def disable_user(self, name: str, actor: str) -> None:
        """A person may log in no longer, and is logged out. Raises NotFound, DatabaseLost."""
        with self._database.writing() as connection:
            active = (users.c.name == name) & users.c.disabled_ms.is_(None)
            if connection.execute(update(users).where(active).values(disabled_ms=clock_ms())).rowcount == 0:
                raise NotFound("no such user", found=name)
            connection.execute(delete(logins).where(logins.c.user == name))
            connection.execute(delete(sessions).where(sessions.c.user == name))
            entry = self._audit.append(connection, actor, "user disabled", {"name": name})
        self._audit.note_head(entry)

    def verify(self, name: str, password: str) -> Identity:
        """Who this is. Raises NotAuthenticated, whatever of the two is wrong; TooManyAttempts, Overloaded."""
        self._attempts.begin(name, clock_ms())
        with self._database.reading() as connection:
            known = name if _NAME.fullmatch(name) else ""  # PostgreSQL cannot even be asked for a zero byte
            active = (users.c.name == known) & users.c.disabled_ms.is_(None)
            person = connection.execute(select(users).where(active)).first()
        if not self._verifying.acquire(timeout=_VERIFY_SECONDS):
            raise Overloaded("too many people log in at once", expected="a retry in a moment")
        try:
            self._hasher.verify(self._nobody if person is None else person.password_hash, password)
        except (VerificationError, InvalidHashError) as error:
            raise NotAuthenticated("name or password is wrong") from error
        finally:
            self._verifying.release()
        if person is None:
            raise NotAuthenticated("name or password is wrong")
        self._attempts.succeeded(name)
        return Identity(name=name, role=Role(person.role))

    def log_in(self, name: str, password: str) -> tuple[str, Identity]:
        """A token for one shift. Raises as ``verify`` does."""
        identity = self.verify(name, password)
        secret = secrets.token_urlsafe(32)
        with self._database.writing() as connection:
            connection.execute(delete(logins).where(logins.c.expires_ms < clock_ms()))
            row = {"secret_hash": _hash(secret), "user": name, "expires_ms": clock_ms() + LOGIN_SECONDS * 1000}
            connection.execute(insert(logins), row)
        return f"{_LOGIN_PREFIX}_{secret}", identity

    def identify(self, token: str) -> Identity:
        """Whose token this is. Raises NotAuthenticated, DatabaseLost."""
        kind, _, rest = token.partition("_")
        with self._database.reading() as connection:
            found = None
            if kind == _KEY_PREFIX:
                found = _key_holder(connection, *rest.partition("_")[::2])
            elif kind == _LOGIN_PREFIX:
                found = _logged_in(connection, rest)
        if found is None:
            raise NotAuthenticated("the key is not known", expected="a key that is not revoked, or a fresh login")
        return found


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        expected = "1 to 64 letters, digits, dots, underscores and hyphens"
        raise OptionsError("the name cannot be taken", expected=expected, found=repr(name[:80]))


def _key_holder(connection: Connection, key_id: str, secret: str) -> Identity | None:
    good = (api_keys.c.id == key_id[:16]) & api_keys.c.revoked_ms.is_(None)
    row = connection.execute(select(api_keys).where(good)).first()
    if row is None or not hmac.compare_digest(row.secret_hash, _hash(secret)):
        return None
    return Identity(name=row.name, role=Role(row.role))


def _logged_in(connection: Connection, secret: str) -> Identity | None:
    row = connection.execute(
        select(users.c.name, users.c.role)
        .join(logins, logins.c.user == users.c.name)
        .where(
            logins.c.secret_hash == _hash(secret), logins.c.expires_ms >= clock_ms(), users.c.disabled_ms.is_(None)
        )
    ).first()
    return None if row is None else Identity(name=row.name, role=Role(row.role))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

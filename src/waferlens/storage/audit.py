"""An append-only log of what people changed. Every entry holds the hash of the one before it.

    hash(n) = SHA-256(seq, at_ms, actor, action, detail, hash(n - 1))        hash(0) = 64 zeros

An altered, missing or inserted entry breaks the chain. A cut end does not: the last hash is therefore also kept in
a file beside the record, and a chain that does not reach it is broken too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, text

from waferlens.errors import AuditError
from waferlens.storage.blobs import write_durably
from waferlens.storage.database import Database
from waferlens.storage.schema import audit_log
from waferlens.storage.stored import clock_ms

_FIRST = "0" * 64
_LOCK = 0x61756469
_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """Who did what, when. detail: JSON."""

    seq: int
    at_ms: int
    actor: str
    action: str
    detail: str
    previous_hash: str
    hash: str


class AuditLog:
    """The chain in the database and its last hash in ``head``."""

    def __init__(self, database: Database, head: Path) -> None:
        self._database, self._head = database, head

    def append(self, connection: Connection, actor: str, action: str, detail: dict[str, Any]) -> AuditEntry:
        """Add an entry in the transaction that makes the change: both are kept, or neither."""
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        last = connection.execute(
            select(audit_log.c.seq, audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1)
        ).first()
        seq, previous = (1, _FIRST) if last is None else (last.seq + 1, last.hash)
        content = json.dumps(detail, sort_keys=True)
        at_ms = clock_ms()
        entry = AuditEntry(
            seq=seq,
            at_ms=at_ms,
            actor=actor,
            action=action,
            detail=content,
            previous_hash=previous,
            hash=_hash(seq, at_ms, actor, action, content, previous),
        )
        connection.execute(insert(audit_log), vars(entry))
        return entry

    def note_head(self, entry: AuditEntry) -> None:
        """Keep the last hash beside the record, once its transaction is durable. Raises OSError."""
        write_durably(self._head, json.dumps({"seq": entry.seq, "hash": entry.hash}).encode())

    def record(self, actor: str, action: str, detail: dict[str, Any]) -> None:
        """Add an entry by itself. Raises DatabaseLost, OSError."""
        with self._database.writing() as connection:
            entry = self.append(connection, actor, action, detail)
        self.note_head(entry)

    def entries(self, *, limit: int, before_seq: int | None = None) -> list[AuditEntry]:
        """The newest entries, older than ``before_seq``. Raises DatabaseLost."""
        query = select(audit_log).order_by(audit_log.c.seq.desc()).limit(limit)
        if before_seq is not None:
            query = query.where(audit_log.c.seq < before_seq)
        with self._database.reading() as connection:
            return [AuditEntry(**row) for row in connection.execute(query).mappings()]

    def verify(self) -> int:
        """How many entries the chain has. Raises AuditError naming the first that does not fit, DatabaseLost."""
        head = json.loads(self._head.read_text(encoding="utf-8")) if self._head.exists() else {}
        previous, count = _FIRST, 0
        seen_head = not head
        with self._database.reading() as connection:
            for entry in _all(connection):
                count += 1
                if entry.seq != count or entry.previous_hash != previous or entry.hash != _hash_of(entry):
                    raise AuditError(
                        f"entry {entry.seq} of the audit log is not what was written",
                        expected=f"number {count} after {previous[:12]}",
                        found=f"number {entry.seq} after {entry.previous_hash[:12]}, hash {entry.hash[:12]}",
                    )
                previous = entry.hash
                seen_head = seen_head or head == {"seq": entry.seq, "hash": entry.hash}
        if not seen_head:
            raise AuditError(
                "the end of the audit log is missing", expected=f"entry {head['seq']}", found=f"{count} entries"
            )
        return count


def _all(connection: Connection) -> Iterator[AuditEntry]:
    """Every entry, by number, a page at a time."""
    last = -(2**31)
    while True:
        query = select(audit_log).where(audit_log.c.seq > last).order_by(audit_log.c.seq).limit(_PAGE)
        page = connection.execute(query).mappings().all()
        yield from (AuditEntry(**row) for row in page)
        if len(page) < _PAGE:
            return
        last = page[-1]["seq"]


def _hash_of(entry: AuditEntry) -> str:
    return _hash(entry.seq, entry.at_ms, entry.actor, entry.action, entry.detail, entry.previous_hash)


def _hash(*parts: object) -> str:
    """Each part with its length, so that none can lend characters to the next."""
    text_of_parts = (str(part).encode() for part in parts)
    return hashlib.sha256(b"".join(b"%d:%s" % (len(part), part) for part in text_of_parts)).hexdigest()

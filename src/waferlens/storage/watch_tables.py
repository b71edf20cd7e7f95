"""The tables of the watch, beside those of ``schema``: alarms, its last runs, what doubtful images look like.

An alarm is one row as long as its cause lasts: what is seen again moves ``last_ms``, people acknowledge and
clear it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text, text

from waferlens.storage.schema import metadata

_OPEN = text("cleared_ms IS NULL")

alarms = Table(
    "alarms",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("key", String(160), nullable=False),
    Column("title", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("onset_ms", BigInteger, nullable=False),
    Column("raised_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("acknowledged_ms", BigInteger),
    Column("acknowledged_by", String(64)),
    Column("cleared_ms", BigInteger),
    Column("cleared_by", String(64)),
    Index("alarms_open_once", "kind", "key", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
)

watch_runs = Table(
    "watch_runs",
    metadata,
    Column("part", String(32), primary_key=True),
    Column("ran_ms", BigInteger, nullable=False),
    Column("figures", Text, nullable=False),
)

appearances = Table(
    "appearances",
    metadata,
    Column("inspection_id", String(32), primary_key=True),
    Column("looks", LargeBinary, nullable=False),
)

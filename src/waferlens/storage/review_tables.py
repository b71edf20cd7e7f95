"""The tables of the review, beside those of ``schema``: what waits for a person, what people said, what follows.

A verdict is a row that is never changed: the database refuses it. Whoever thinks again writes another one that
supersedes it. Indexes of what waits hold everything that a claim asks for, so that passing over what one person
may not have costs a walk down the index and nothing more.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from waferlens.storage.schema import metadata

_OPEN = text("closed_ms IS NULL")

review_items = Table(
    "review_items",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("inspection_id", String(32), nullable=False),
    Column("purpose", String(12), nullable=False),
    Column("seat", SmallInteger, nullable=False),
    Column("blind", Boolean, nullable=False),
    Column("addressee", String(65), nullable=False),
    Column("slack", Float, nullable=False),
    Column("admitted_ms", BigInteger, nullable=False),
    Column("not_for", String(64), nullable=False),
    Column("claimed_by", String(64)),
    Column("claimed_ms", BigInteger),
    Column("claimed_until_ms", BigInteger, nullable=False),
    Column("revealed_ms", BigInteger),
    Column("closed_ms", BigInteger),
    Index(
        "review_items_waiting_by_age",
        *("addressee", "id", "claimed_until_ms", "not_for"),
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    ),
    Index(
        "review_items_waiting_by_slack",
        *("addressee", "slack", "id", "claimed_until_ms", "not_for"),
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    ),
    Index("review_items_held_by_a_person", "claimed_by", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("review_items_of_an_inspection", "inspection_id"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("item_id", String(32), nullable=False),
    Column("inspection_id", String(32), nullable=False),
    Column("person", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("choice", String(9), nullable=False),
    Column("defect_class", String(64)),
    Column("note", Text, nullable=False),
    Column("saw_score", Boolean, nullable=False),
    Column("given_ms", BigInteger, nullable=False),
    Column("looked_ms", BigInteger),
    Column("key", String(64), nullable=False),
    Column("supersedes", String(32)),
    UniqueConstraint("person", "key", "item_id", name="verdicts_once_a_key"),
    UniqueConstraint("supersedes", name="verdicts_superseded_once"),
    Index("verdicts_of_an_item", "item_id"),
    Index("verdicts_of_an_inspection", "inspection_id"),
    Index("verdicts_of_a_person", "person", "id"),
)

settlements = Table(
    "settlements",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("inspection_id", String(32), nullable=False),
    Column("settled_ms", BigInteger, nullable=False),
    Column("disposition", String(6), nullable=False),
    Column("defect_class", String(64)),
    Column("reason", Text, nullable=False),
    Column("settled_by", String(64), nullable=False),
    Column("verdict_id", String(32), nullable=False),
    Column("wafer_seq", Integer),
    Index("settlements_of_an_inspection", "inspection_id", "seq"),
    Index("settlements_of_a_disposition", "disposition", "seq"),
    Index("settlements_of_a_wafers_disposition", "wafer_seq"),
)

defect_classes = Table(
    "defect_classes",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("description", Text, nullable=False),
    Column("place", Integer, nullable=False),
    Column("added_by", String(64), nullable=False),
    Column("added_ms", BigInteger, nullable=False),
    Column("retired_ms", BigInteger),
)

known_answers = Table(
    "known_answers",
    metadata,
    Column("inspection_id", String(32), primary_key=True),
    Column("truth", String(9), nullable=False),
    Column("defect_class", String(64)),
    Column("source", Text, nullable=False),
    Column("added_by", String(64), nullable=False),
    Column("added_ms", BigInteger, nullable=False),
    Column("retired_ms", BigInteger),
)

review_secrets = Table(
    "review_secrets",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("secret", LargeBinary, nullable=False),
)

"""What the review keeps: items, verdicts, settlements, defect classes, known answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_APPEND_ONLY_SQLITE = """
CREATE TRIGGER verdicts_no_{verb} BEFORE {verb} ON verdicts
BEGIN SELECT RAISE(ABORT, 'a verdict is never changed'); END
"""
_APPEND_ONLY_FUNCTION = """
CREATE FUNCTION verdicts_are_append_only() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'a verdict is never changed'; END
$$ LANGUAGE plpgsql
"""
_APPEND_ONLY_POSTGRESQL = """
CREATE TRIGGER verdicts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON verdicts
FOR EACH STATEMENT EXECUTE FUNCTION verdicts_are_append_only()
"""


def upgrade() -> None:
    """Create everything."""
    _create_items()
    _create_verdicts()
    _create_known()
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_APPEND_ONLY_SQLITE.format(verb=verb))
    else:
        op.execute(_APPEND_ONLY_FUNCTION)
        op.execute(_APPEND_ONLY_POSTGRESQL)


def _create_items() -> None:
    op.create_table(
        "review_items",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("inspection_id", sa.String(32), nullable=False),
        sa.Column("purpose", sa.String(12), nullable=False),
        sa.Column("seat", sa.SmallInteger, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("addressee", sa.String(65), nullable=False),
        sa.Column("slack", sa.Float, nullable=False),
        sa.Column("admitted_ms", sa.BigInteger, nullable=False),
        sa.Column("not_for", sa.String(64), nullable=False),
        sa.Column("claimed_by", sa.String(64)),
        sa.Column("claimed_ms", sa.BigInteger),
        sa.Column("claimed_until_ms", sa.BigInteger, nullable=False),
        sa.Column("revealed_ms", sa.BigInteger),
        sa.Column("closed_ms", sa.BigInteger),
    )
    waiting = sa.text("closed_ms IS NULL")
    for name, columns in (
        ("review_items_waiting_by_age", ["addressee", "id", "claimed_until_ms", "not_for"]),
        ("review_items_waiting_by_slack", ["addressee", "slack", "id", "claimed_until_ms", "not_for"]),
        ("review_items_held_by_a_person", ["claimed_by"]),
    ):
        op.create_index(name, "review_items", columns, sqlite_where=waiting, postgresql_where=waiting)
    op.create_index("review_items_of_an_inspection", "review_items", ["inspection_id"])


def _create_verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("item_id", sa.String(32), nullable=False),
        sa.Column("inspection_id", sa.String(32), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("choice", sa.String(9), nullable=False),
        sa.Column("defect_class", sa.String(64)),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("saw_score", sa.Boolean, nullable=False),
        sa.Column("given_ms", sa.BigInteger, nullable=False),
        sa.Column("looked_ms", sa.BigInteger),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("supersedes", sa.String(32)),
        sa.UniqueConstraint("person", "key", "item_id", name="verdicts_once_a_key"),
        sa.UniqueConstraint("supersedes", name="verdicts_superseded_once"),
    )
    op.create_index("verdicts_of_an_item", "verdicts", ["item_id"])
    op.create_index("verdicts_of_an_inspection", "verdicts", ["inspection_id"])
    op.create_index("verdicts_of_a_person", "verdicts", ["person", "id"])
    op.create_table(
        "settlements",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("inspection_id", sa.String(32), nullable=False),
        sa.Column("settled_ms", sa.BigInteger, nullable=False),
        sa.Column("disposition", sa.String(6), nullable=False),
        sa.Column("defect_class", sa.String(64)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("settled_by", sa.String(64), nullable=False),
        sa.Column("verdict_id", sa.String(32), nullable=False),
        sa.Column("wafer_seq", sa.Integer),
    )
    op.create_index("settlements_of_an_inspection", "settlements", ["inspection_id", "seq"])
    op.create_index("settlements_of_a_disposition", "settlements", ["disposition", "seq"])
    op.create_index("settlements_of_a_wafers_disposition", "settlements", ["wafer_seq"])


def _create_known() -> None:
    op.create_table(
        "defect_classes",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("added_by", sa.String(64), nullable=False),
        sa.Column("added_ms", sa.BigInteger, nullable=False),
        sa.Column("retired_ms", sa.BigInteger),
    )
    op.create_table(
        "known_answers",
        sa.Column("inspection_id", sa.String(32), primary_key=True),
        sa.Column("truth", sa.String(9), nullable=False),
        sa.Column("defect_class", sa.String(64)),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("added_by", sa.String(64), nullable=False),
        sa.Column("added_ms", sa.BigInteger, nullable=False),
        sa.Column("retired_ms", sa.BigInteger),
    )
    op.create_table(
        "review_secrets",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
    )

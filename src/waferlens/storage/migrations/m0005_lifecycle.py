"""The life of models: versions with their states, every move with who and why, what challengers say beside a
champion.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_APPEND_ONLY_SQLITE = """
CREATE TRIGGER model_moves_no_{verb} BEFORE {verb} ON model_moves
BEGIN SELECT RAISE(ABORT, 'a move of a model is never changed'); END
"""
_APPEND_ONLY_FUNCTION = """
CREATE FUNCTION model_moves_are_append_only() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'a move of a model is never changed'; END
$$ LANGUAGE plpgsql
"""
_APPEND_ONLY_POSTGRESQL = """
CREATE TRIGGER model_moves_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON model_moves
FOR EACH STATEMENT EXECUTE FUNCTION model_moves_are_append_only()
"""


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "model_versions",
        sa.Column("version", sa.String(128), primary_key=True),
        sa.Column("state", sa.String(16)),
        sa.Column("slot", sa.String(16)),
        sa.Column("source_hash", sa.String(64), nullable=False),
        sa.Column("bundle_hash", sa.String(64)),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("product", sa.String(64), nullable=False),
        sa.Column("archive", sa.String(64)),
        sa.Column("canary_share", sa.Float),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("slot", name="model_versions_one_a_slot"),
        sa.UniqueConstraint("source_hash", name="model_versions_registered_once"),
    )
    op.create_table(
        "model_moves",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("from_state", sa.String(16)),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("model_moves_of_a_version", "model_moves", ["version", "seq"])
    op.create_table(
        "challenger_scores",
        sa.Column("model_version", sa.String(128), primary_key=True),
        sa.Column("inspection_id", sa.String(32), primary_key=True),
        sa.Column("scored_ms", sa.BigInteger, nullable=False),
        sa.Column("decision", sa.String(6)),
        sa.Column("score", sa.Float),
        sa.Column("inference_ms", sa.Float),
        sa.Column("failure", sa.String(32)),
    )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_APPEND_ONLY_SQLITE.format(verb=verb))
    else:
        op.execute(_APPEND_ONLY_FUNCTION)
        op.execute(_APPEND_ONLY_POSTGRESQL)

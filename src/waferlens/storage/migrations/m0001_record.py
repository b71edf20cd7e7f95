"""The first schema: inspections and all that stands around them. Written out: later code cannot alter it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_APPEND_ONLY_SQLITE = """
CREATE TRIGGER audit_log_no_{verb} BEFORE {verb} ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
"""
_APPEND_ONLY_FUNCTION = """
CREATE FUNCTION audit_log_is_append_only() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'the audit log is append-only'; END
$$ LANGUAGE plpgsql
"""
_APPEND_ONLY_POSTGRESQL = """
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()
"""


def upgrade() -> None:
    """Create everything."""
    _create_inspections()
    _create_people()
    _create_histories()
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_APPEND_ONLY_SQLITE.format(verb=verb))
    else:
        op.execute(_APPEND_ONLY_FUNCTION)
        op.execute(_APPEND_ONLY_POSTGRESQL)


def _create_inspections() -> None:
    op.create_table(
        "inspections",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
        sa.Column("wafer_id", sa.String(64), nullable=False),
        sa.Column("inspection_point", sa.Integer, nullable=False),
        sa.Column("product", sa.String(64), nullable=False),
        sa.Column("lot_id", sa.String(64)),
        sa.Column("station", sa.String(64), nullable=False),
        sa.Column("decision", sa.String(6), nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("failure", sa.String(32)),
        sa.Column("score", sa.Float),
        sa.Column("reconstruction_error", sa.Float),
        sa.Column("p_value", sa.Float),
        sa.Column("review_threshold", sa.Float, nullable=False),
        sa.Column("reject_threshold", sa.Float, nullable=False),
        sa.Column("score_name", sa.String(32), nullable=False),
        sa.Column("model_version", sa.String(128), nullable=False),
        sa.Column("original", sa.String(64), nullable=False),
        sa.Column("num_bytes", sa.Integer, nullable=False),
        sa.Column("inference_ms", sa.Float),
        sa.Column("timings", sa.Text, nullable=False),
        sa.Column("latent", sa.LargeBinary),
    )
    op.create_index("inspections_of_a_decision", "inspections", ["decision", "id"])
    op.create_index("inspections_of_a_wafer", "inspections", ["wafer_id", "inspection_point", "id"])
    op.create_index("inspections_of_a_product", "inspections", ["product", "id"])
    op.create_index("inspections_by_the_hour", "inspections", ["received_ms", "decision"])
    op.create_index("inspections_of_an_original", "inspections", ["original"])
    failed = sa.text("failure IS NOT NULL")
    op.create_index("inspections_that_failed", "inspections", ["id"], sqlite_where=failed, postgresql_where=failed)
    op.create_table(
        "renderings",
        sa.Column("inspection_id", sa.String(32), primary_key=True),
        sa.Column("heatmap", sa.String(64), nullable=False),
        sa.Column("reconstruction", sa.String(64), nullable=False),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("station", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("inspection_id", sa.String(32), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_ms"])


def _create_people() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("revoked_ms", sa.BigInteger),
    )
    op.create_table(
        "users",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("disabled_ms", sa.BigInteger),
    )
    op.create_table(
        "logins",
        sa.Column("secret_hash", sa.String(64), primary_key=True),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
    )


def _create_histories() -> None:
    op.create_table(
        "dispositions",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("wafer_id", sa.String(64), nullable=False),
        sa.Column("settled_ms", sa.BigInteger, nullable=False),
        sa.Column("disposition", sa.String(6), nullable=False),
        sa.Column("num_points", sa.SmallInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("settled_by", sa.String(64), nullable=False),
    )
    op.create_index("dispositions_of_a_wafer", "dispositions", ["wafer_id", "seq"])
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.UniqueConstraint("previous_hash", name="audit_log_is_one_chain"),
    )
    op.create_table(
        "bands",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("model_version", sa.String(128), nullable=False),
        sa.Column("review_threshold", sa.Float, nullable=False),
        sa.Column("reject_threshold", sa.Float, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("set_by", sa.String(64), nullable=False),
        sa.Column("set_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("bands_of_a_model", "bands", ["model_version", "seq"])

"""The tables as SQLAlchemy sees them. ``migrations`` creates them; a test holds the two together.

Every index answers one question that is asked often, and is named after it. Ids of inspections sort by time, so
"the newest first, page by page" is a walk down an index.
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
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

inspections = Table(
    "inspections",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("received_ms", BigInteger, nullable=False),
    Column("wafer_id", String(64), nullable=False),
    Column("inspection_point", Integer, nullable=False),
    Column("product", String(64), nullable=False),
    Column("lot_id", String(64)),
    Column("station", String(64), nullable=False),
    Column("decision", String(6), nullable=False),
    Column("confidence", Float, nullable=False),
    Column("reason", Text),
    Column("failure", String(32)),
    Column("score", Float),
    Column("reconstruction_error", Float),
    Column("p_value", Float),
    Column("review_threshold", Float, nullable=False),
    Column("reject_threshold", Float, nullable=False),
    Column("score_name", String(32), nullable=False),
    Column("model_version", String(128), nullable=False),
    Column("original", String(64), nullable=False),
    Column("num_bytes", Integer, nullable=False),
    Column("inference_ms", Float),
    Column("timings", Text, nullable=False),
    Column("latent", LargeBinary),
    Column("brightness", Float),
    Index("inspections_of_a_decision", "decision", "id"),
    Index("inspections_of_a_wafer", "wafer_id", "inspection_point", "id"),
    Index("inspections_of_a_product", "product", "id"),
    Index("inspections_by_the_hour", "received_ms", "decision"),
    Index("inspections_by_the_hour_and_product", "received_ms", "product", "decision"),
    Index("inspections_of_a_lot", "lot_id", "wafer_id", "inspection_point", "id"),
    Index("inspections_of_an_original", "original"),
    Index(
        "inspections_that_failed",
        "id",
        sqlite_where=text("failure IS NOT NULL"),
        postgresql_where=text("failure IS NOT NULL"),
    ),
)

renderings = Table(
    "renderings",
    metadata,
    Column("inspection_id", String(32), primary_key=True),
    Column("heatmap", String(64), nullable=False),
    Column("reconstruction", String(64), nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("station", String(64), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("inspection_id", String(32), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("idempotency_keys_by_age", "created_ms"),
)

dispositions = Table(
    "dispositions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("wafer_id", String(64), nullable=False),
    Column("settled_ms", BigInteger, nullable=False),
    Column("disposition", String(6), nullable=False),
    Column("num_points", SmallInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("settled_by", String(64), nullable=False),
    Index("dispositions_of_a_wafer", "wafer_id", "seq"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("disabled_ms", BigInteger),
)

logins = Table(
    "logins",
    metadata,
    Column("secret_hash", String(64), primary_key=True),
    Column("user", String(64), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("num_attempts", Integer, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Index("sign_in_attempts_by_age", "last_ms"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("secret_hash", String(64), primary_key=True),
    Column("user", String(64), nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("locked", Boolean, nullable=False),
    Index("sessions_of_a_user", "user"),
    Index("sessions_by_age", "opened_ms"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("previous_hash", name="audit_log_is_one_chain"),
)

bands = Table(
    "bands",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("model_version", String(128), nullable=False),
    Column("review_threshold", Float, nullable=False),
    Column("reject_threshold", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("set_by", String(64), nullable=False),
    Column("set_ms", BigInteger, nullable=False),
    Index("bands_of_a_model", "model_version", "seq"),
)

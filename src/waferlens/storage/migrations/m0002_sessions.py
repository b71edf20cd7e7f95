"""People sign in with a browser: their sessions, how often a name was tried in vain, what pages ask often."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create two tables and two indices."""
    op.create_index("inspections_by_the_hour_and_product", "inspections", ["received_ms", "product", "decision"])
    op.create_index("inspections_of_a_lot", "inspections", ["lot_id", "wafer_id", "inspection_point", "id"])
    op.create_table(
        "sign_in_attempts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("num_attempts", sa.Integer, nullable=False),
        sa.Column("last_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("sign_in_attempts_by_age", "sign_in_attempts", ["last_ms"])
    op.create_table(
        "sessions",
        sa.Column("secret_hash", sa.String(64), primary_key=True),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("opened_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.Column("locked", sa.Boolean, nullable=False),
    )
    op.create_index("sessions_of_a_user", "sessions", ["user"])
    op.create_index("sessions_by_age", "sessions", ["opened_ms"])

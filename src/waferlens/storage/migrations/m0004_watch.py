"""What the watch keeps: the brightness of every image, alarms, its runs, what doubtful images look like."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column and create the tables."""
    op.add_column("inspections", sa.Column("brightness", sa.Float))
    op.create_table(
        "alarms",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("key", sa.String(160), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("onset_ms", sa.BigInteger, nullable=False),
        sa.Column("raised_ms", sa.BigInteger, nullable=False),
        sa.Column("last_ms", sa.BigInteger, nullable=False),
        sa.Column("acknowledged_ms", sa.BigInteger),
        sa.Column("acknowledged_by", sa.String(64)),
        sa.Column("cleared_ms", sa.BigInteger),
        sa.Column("cleared_by", sa.String(64)),
    )
    still_open = sa.text("cleared_ms IS NULL")
    op.create_index(
        "alarms_open_once",
        "alarms",
        ["kind", "key"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_table(
        "watch_runs",
        sa.Column("part", sa.String(32), primary_key=True),
        sa.Column("ran_ms", sa.BigInteger, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
    )
    op.create_table(
        "appearances",
        sa.Column("inspection_id", sa.String(32), primary_key=True),
        sa.Column("looks", sa.LargeBinary, nullable=False),
    )

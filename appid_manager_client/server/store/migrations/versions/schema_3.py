"""Names of tokens in the history, what operators did, and products that are paused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Add columns to the leases and the line, and the tables of pauses and of acts."""
    op.add_column("leases", sa.Column("token", sa.Text))
    op.add_column("leases", sa.Column("ended_by", sa.Text))
    op.add_column("line", sa.Column("token", sa.Text))
    op.create_table(
        "pauses",
        sa.Column("product", sa.Text, primary_key=True),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text),
    )
    op.create_table(
        "acts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("act", sa.String(16), nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("appid", sa.Text),
        sa.Column("lease_id", sa.String(64)),
        sa.Column("token", sa.Text),
        sa.Column("said_by", sa.Text),
        sa.Column("note", sa.Text),
    )
    op.create_index("ix_acts_product", "acts", ["product", "at"])
    op.create_index("ix_acts_at", "acts", ["at"])

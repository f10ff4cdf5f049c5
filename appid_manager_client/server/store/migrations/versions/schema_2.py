"""Fences, reserved AppIDs, the line, the services that use a database, and more indexes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add columns, the tables of waiters and of services, the floor of fences, and indexes."""
    op.add_column(
        "appids", sa.Column("fence", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )
    op.add_column(
        "appids",
        sa.Column(
            "reserved",
            sa.Boolean(create_constraint=False),
            nullable=False,
            server_default=sa.false(),
        ),
    )
    op.add_column("appids", sa.Column("note", sa.Text))
    op.add_column("leases", sa.Column("fence", sa.BigInteger))
    op.create_table(
        "processes",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("schema", sa.Text, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
    )
    _add_line()
    remembered = sa.text("request_id IS NOT NULL AND stop IS NOT NULL")
    op.create_index(
        "ix_leases_remembered",
        "leases",
        ["stop"],
        sqlite_where=remembered,
        postgresql_where=remembered,
    )
    op.create_index("ix_leases_product", "leases", ["product", "start", "id"])
    op.create_index("ix_leases_start", "leases", ["start", "id"])
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE appids SET (autovacuum_vacuum_scale_factor = 0.01,"
            " autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)"
        )
        op.execute(
            "ALTER TABLE leases SET (autovacuum_vacuum_scale_factor = 0.01,"
            " autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0)"
        )
    meta = sa.table("meta", sa.column("key", sa.Text), sa.column("value", sa.Text))
    op.execute(sa.insert(meta).values(key="fence_floor", value="0"))


def _add_line() -> None:
    op.create_table(
        "line",
        sa.Column("no", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("ticket", sa.String(64), nullable=False, unique=True),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False, unique=True),
        sa.Column("forced", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("heard", sa.BigInteger, nullable=False),
        sa.Column("present_from", sa.BigInteger, nullable=False),
        sa.Column("present_until", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_line_present", "line", ["product", "present_until"])
    op.create_index("ix_line_order", "line", ["product", "no"])

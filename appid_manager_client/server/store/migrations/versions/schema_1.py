"""AppIDs, leases and values of the whole database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables. Databases of this schema were written before there were migrations."""
    meta = op.create_table(
        "meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.execute(sa.insert(meta).values(key="schema", value="1"))
    op.create_table(
        "appids",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("appid", sa.Text, nullable=False, unique=True),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("vid", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("held", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("retired", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("last_start", sa.BigInteger),
        sa.Column("last_stop", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_appids_next", "appids", ["product", "held", "last_stop", "position"])
    op.create_table(
        "leases",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("lease_id", sa.String(64)),
        sa.Column("request_id", sa.String(64)),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("appid", sa.Text),
        sa.Column("vid", sa.Text),
        sa.Column("holder", sa.Text),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("stop", sa.BigInteger),
        sa.Column("ended", sa.String(16)),
        sa.Column("ttl", sa.BigInteger),
        sa.Column("expires", sa.BigInteger),
    )
    _index("ux_leases_live", "appid", "stop IS NULL", unique=True)
    _index("ux_leases_request_id", "request_id", "request_id IS NOT NULL", unique=True)
    _index("ix_leases_due", "expires", "stop IS NULL AND expires IS NOT NULL")
    _index("ix_leases_ended", "stop", "stop IS NOT NULL")
    op.create_index("ux_leases_lease_id", "leases", ["lease_id"], unique=True)
    op.create_index("ix_leases_appid", "leases", ["appid", "start"])


def _index(name: str, column: str, where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(
        name,
        "leases",
        [column],
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )

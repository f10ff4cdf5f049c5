"""The tables and the engines: what is kept on disk, under which indexes, and how transactions begin.

`appids` holds what a product has now, `leases` who had which AppID when. An acquire that was given up before it got
anything is a row of `leases` without an AppID, so that one look-up answers every question about a request id.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

# `last_stop` of an AppID that was never used; it sorts before every moment.
NEVER = -1

SCHEMA = "1"
_KEY = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

appids = Table(
    "appids",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("appid", Text, nullable=False, unique=True),
    Column("product", Text, nullable=False),
    Column("vid", Text, nullable=False),  # JSON, which keeps text and number apart
    Column("position", BigInteger, nullable=False),  # the order given at init
    Column("held", Boolean(create_constraint=False), nullable=False),
    Column("retired", Boolean(create_constraint=False), nullable=False),  # goes when released
    Column("last_start", BigInteger),
    Column("last_stop", BigInteger, nullable=False),
    # The order in which AppIDs are handed out: the first entry is the next grant.
    Index("ix_appids_next", "product", "held", "last_stop", "position"),
)

leases = Table(
    "leases",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("lease_id", String(64)),
    Column("request_id", String(64)),
    Column("product", Text, nullable=False),
    Column("appid", Text),
    Column("vid", Text),
    Column("holder", Text),
    Column("start", BigInteger, nullable=False),
    Column("stop", BigInteger),
    Column("ended", String(16)),  # released, expired, reset; abandoned where there was no AppID
    Column("ttl", BigInteger),
    Column("expires", BigInteger),
)
_live = leases.c.stop.is_(None)
# The last line of defence: the database itself refuses a second holder.
Index("ux_leases_live", leases.c.appid, unique=True, sqlite_where=_live, postgresql_where=_live)
Index("ux_leases_lease_id", leases.c.lease_id, unique=True)
# Ids are forgotten after a day, so this one stays small however long the history is.
_asked = leases.c.request_id.is_not(None)
Index(
    "ux_leases_request_id",
    leases.c.request_id,
    unique=True,
    sqlite_where=_asked,
    postgresql_where=_asked,
)
_due = _live & leases.c.expires.is_not(None)
Index("ix_leases_due", leases.c.expires, sqlite_where=_due, postgresql_where=_due)
Index("ix_leases_appid", leases.c.appid, leases.c.start)
_ended = leases.c.stop.is_not(None)
Index("ix_leases_ended", leases.c.stop, sqlite_where=_ended, postgresql_where=_ended)

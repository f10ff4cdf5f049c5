"""The tables and their indexes: what is kept on disk.

`appids` holds the AppIDs that each product has now, `leases` who had which AppID when. A request
that was abandoned before it got an AppID is a row of `leases` without one, so that one look-up
answers every question about a request id. `line` holds who waits, `pauses` which products are
paused, and `acts` what operators did; `processes` names the services that use the database; `meta`
holds single values.
"""

from __future__ import annotations

import json

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
    false,
    text,
)

SCHEMA = "3"
"""The version of these tables, kept in `meta`."""

NEVER = -1
"""`last_stop` of an AppID that was never used; it sorts before every time."""

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
    Column("vid", Text, nullable=False),  # see encode_vid
    Column("position", BigInteger, nullable=False),  # the order given at init
    Column("held", Boolean(create_constraint=False), nullable=False),
    Column("retired", Boolean(create_constraint=False), nullable=False),  # deleted when released
    Column("last_start", BigInteger),
    Column("last_stop", BigInteger, nullable=False),
    # The last one granted; 0: none yet.
    Column("fence", BigInteger, nullable=False, server_default=text("0")),
    # A reserved AppID is never granted: while it isn't in use it is `held` without a lease.
    Column("reserved", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("note", Text),  # why it is reserved
    # The order in which AppIDs are granted: the first entry is the next one.
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
    Column("ended", String(16)),  # released, expired, reset; abandoned where there is no AppID
    Column("ttl", BigInteger),
    Column("expires", BigInteger),
    Column("fence", BigInteger),  # none for leases that began before schema 2
    Column("token", Text),  # the name of the token with which it was acquired
    Column("ended_by", Text),  # and of that with which it was released
)

pauses = Table(
    "pauses",
    metadata,
    Column("product", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("note", Text),
)

acts = Table(
    "acts",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("act", String(16), nullable=False),  # see `ActKind`
    Column("product", Text, nullable=False),
    Column("appid", Text),
    Column("lease_id", String(64)),  # of the lease that it ended
    Column("token", Text),  # the name of the token with which it was asked
    Column("said_by", Text),  # who did it, as the caller said
    Column("note", Text),
    Index("ix_acts_product", "product", "at"),
    Index("ix_acts_at", "at"),
)

line = Table(
    "line",
    metadata,
    Column("no", _KEY, primary_key=True),  # the order of the line
    Column("ticket", String(64), nullable=False, unique=True),
    Column("product", Text, nullable=False),
    # That of the last request; it is the only one that is answered with this place.
    Column("request_id", String(64), nullable=False, unique=True),
    Column("forced", Boolean(create_constraint=False), nullable=False),
    Column("holder", Text),
    Column("since", BigInteger, nullable=False),
    Column("heard", BigInteger, nullable=False),
    # When it counts as present; both are 0 if it never did.
    Column("present_from", BigInteger, nullable=False),
    Column("present_until", BigInteger, nullable=False),
    Column("token", Text),  # the name of the token with which it was drawn
    Index("ix_line_present", "product", "present_until"),
    Index("ix_line_order", "product", "no"),
)

processes = Table(
    "processes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Text, nullable=False),  # of the package
    Column("schema", Text, nullable=False),
    Column("seen", BigInteger, nullable=False),
)

_live = leases.c.stop.is_(None)
# The last safeguard: the database itself refuses a second holder of an AppID.
Index("ux_leases_live", leases.c.appid, unique=True, sqlite_where=_live, postgresql_where=_live)
Index("ux_leases_lease_id", leases.c.lease_id, unique=True)
# Request ids are forgotten after a day, so this index stays small however long the history is.
_requested = leases.c.request_id.is_not(None)
Index(
    "ux_leases_request_id",
    leases.c.request_id,
    unique=True,
    sqlite_where=_requested,
    postgresql_where=_requested,
)
# Those that are not forgotten yet, in the order in which they are.
_remembered = _requested & leases.c.stop.is_not(None)
Index(
    "ix_leases_remembered",
    leases.c.stop,
    sqlite_where=_remembered,
    postgresql_where=_remembered,
)
_expiring = _live & leases.c.expires.is_not(None)
Index("ix_leases_due", leases.c.expires, sqlite_where=_expiring, postgresql_where=_expiring)
Index("ix_leases_appid", leases.c.appid, leases.c.start)
# The history, the newest first: of one product, and of all.
Index("ix_leases_product", leases.c.product, leases.c.start, leases.c.id)
Index("ix_leases_start", leases.c.start, leases.c.id)
_ended = leases.c.stop.is_not(None)
Index("ix_leases_ended", leases.c.stop, sqlite_where=_ended, postgresql_where=_ended)


POSTGRES_STORAGE = (
    # Every lease changes a row of each twice. A fifth of the rows, PostgreSQL's default, would be a
    # long time to wait for where there are many.
    "ALTER TABLE appids SET (autovacuum_vacuum_scale_factor = 0.01,"
    " autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE leases SET (autovacuum_vacuum_scale_factor = 0.01,"
    " autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0)",
)
"""Statements that PostgreSQL gets once the tables are there: how often it cleans them up."""


encode_vid = json.JSONEncoder().encode
"""A vid as it is stored: JSON, which keeps text and numbers apart."""


def decode_vid(stored: str) -> str | int:
    """Return a vid as `init` gave it."""
    vid: str | int = _decode(stored)
    return vid


_decode = json.JSONDecoder().decode

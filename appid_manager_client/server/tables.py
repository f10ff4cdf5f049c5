"""The tables and the engines: what is kept on disk, under which indexes, and how transactions begin.

`appids` holds what a product has now, `leases` who had which AppID when. An acquire that was given up before it got
anything is a row of `leases` without an AppID, so that one look-up answers every question about a request id.
"""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from ..errors import ConfigurationError
from .settings import path_in

# `last_stop` of an AppID that was never used; it sorts before every moment.
NEVER = -1

_SCHEMA = "1"
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


def open_engines(url: str) -> tuple[Engine, Engine]:
    """An engine for the one writer and one for readers, with the tables made and their version checked."""
    try:
        # One writer, one connection for life; readers come and go with the threads that serve them.
        writer = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0, **_OPTIONS)
        reader = create_engine(url, poolclass=NullPool, **_OPTIONS)
        event.listen(writer, "connect", _prepare)
        event.listen(reader, "connect", _prepare)
        # The lock is taken first: a transaction that reads and then writes could fail half way otherwise.
        event.listen(writer, "begin", lambda connection: _begin(connection, "BEGIN IMMEDIATE"))
        event.listen(reader, "begin", lambda connection: _begin(connection, "BEGIN"))
        with writer.begin() as connection:
            metadata.create_all(connection)
            found = connection.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar()
            if found is None:
                connection.execute(insert(meta).values(key="schema", value=_SCHEMA))
    except SQLAlchemyError as error:
        reason = _why_not_opened(url, getattr(error, "orig", None) or error)
        raise ConfigurationError(f"database: {url} can't be opened: {reason}") from None
    if found not in (None, _SCHEMA):
        writer.dispose()
        raise ConfigurationError(
            f"database: {url} was written by another version of the service (schema {found}, not {_SCHEMA})"
        )
    return writer, reader


def _why_not_opened(url: str, error: BaseException) -> str:
    """SQLite says the same of a directory that isn't there and of one that can't be written."""
    directory = os.path.dirname(path_in(url))
    if not os.path.isdir(directory):
        return f"there is no directory {directory}"
    if not os.access(directory, os.W_OK):
        return (
            f"the directory {directory} can't be written, and SQLite keeps files of its own there"
        )
    return str(error)


_OPTIONS: dict[str, Any] = {
    "connect_args": {"timeout": 30, "check_same_thread": False},
    # What callers sent has no place in errors and logs.
    "hide_parameters": True,
}


def _prepare(connection: Any, _record: object) -> None:
    # The driver would begin transactions by itself, too late and without the lock.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA cache_size=-32768")
    # Fewer and larger checkpoints; the log then has at most about 16 MiB.
    cursor.execute("PRAGMA wal_autocheckpoint=4000")
    cursor.close()


def _begin(connection: Any, statement: str) -> None:
    connection.exec_driver_sql(statement)

"""SQLite: how its engines are opened, and how its transactions begin."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import (
    Engine,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from ...errors import ConfigurationError
from ..settings import path_in
from .tables import SCHEMA, meta, metadata


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
                connection.execute(insert(meta).values(key="schema", value=SCHEMA))
    except SQLAlchemyError as error:
        reason = _why_not_opened(url, getattr(error, "orig", None) or error)
        raise ConfigurationError(f"database: {url} can't be opened: {reason}") from None
    if found not in (None, SCHEMA):
        writer.dispose()
        raise ConfigurationError(
            f"database: {url} was written by another version of the service (schema {found}, not {SCHEMA})"
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

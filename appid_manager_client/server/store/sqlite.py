"""SQLite: how its engines are opened, and how its transactions begin."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from ...errors import unusable
from ..settings import database_path
from .schema import bring_up_to_date
from .tables import SCHEMA

_OPTIONS: dict[str, Any] = {
    "connect_args": {"timeout": 30, "check_same_thread": False},
    # Values that callers sent stay out of errors and logs.
    "hide_parameters": True,
}


def open_engines(url: str) -> tuple[Engine, Engine]:
    """Open a database, create its tables if they are missing, and check their version.

    Returns:
        The engine of the one writer, and the engine of the readers.

    Raises:
        ConfigurationError: the database can't be opened, or another version wrote it.
    """
    try:
        # The writer keeps one connection; readers open one each, in whichever thread they run.
        writer = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0, **_OPTIONS)
        reader = create_engine(url, poolclass=NullPool, **_OPTIONS)
        event.listen(writer, "connect", _prepare)
        event.listen(reader, "connect", _prepare)
        # The write lock is taken first: a transaction that reads and then writes could otherwise
        # fail half way.
        event.listen(writer, "begin", lambda connection: _begin(connection, "BEGIN IMMEDIATE"))
        event.listen(reader, "begin", lambda connection: _begin(connection, "BEGIN"))
        with writer.begin() as connection:
            found = bring_up_to_date(connection)
    except SQLAlchemyError as error:
        reason = _why_not_opened(url, getattr(error, "orig", None) or error)
        raise unusable("database", f"{url} can't be opened: {reason}") from None
    if found != SCHEMA:
        writer.dispose()
        raise unusable(
            "database",
            f"{url} was written by another version of the service (schema {found}, not {SCHEMA})",
        )
    return writer, reader


def _why_not_opened(url: str, error: BaseException) -> str:
    # SQLite has one message for a missing directory and for one that can't be written.
    directory = os.path.dirname(database_path(url))
    if not os.path.isdir(directory):
        return f"there is no directory {directory}"
    if not os.access(directory, os.W_OK):
        return (
            f"the directory {directory} can't be written, and SQLite keeps files of its own there"
        )
    return str(error)


def _prepare(connection: Any, _record: object) -> None:
    # Otherwise the driver begins transactions by itself, too late and without the write lock.
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

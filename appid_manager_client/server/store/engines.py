"""Which engine a database's URL names. Nothing else tells the engines apart by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection, Dialect, make_url

from ...errors import ConfigurationError, unusable
from ..clock import Clock, SystemClock
from ..settings import database_path, describe_database, is_sqlite
from .contract import Engine


def open_engine(
    url: str, clock: Clock | None = None, leapt: Callable[[], bool] | None = None
) -> Engine:
    """Open a database, with its tables as this version has them.

    Args:
        url: of an SQLite file, or of a PostgreSQL database; already checked.
        clock: the time. By default the engine's own: this machine's for SQLite, the database's for
            PostgreSQL.
        leapt: whether that clock was set since the last call; by default a clock that is passed in
            never is.

    Raises:
        ConfigurationError: the database can't be opened, or an extra is missing.
    """
    if clock is not None and leapt is None:
        leapt = _never
    if is_sqlite(url):
        from .sqlite import SqliteEngine

        system_clock = SystemClock()
        return SqliteEngine(url, clock or system_clock, leapt or system_clock.jumped)
    _require_driver()
    from .postgres import PostgresEngine

    return PostgresEngine(url, clock, leapt or _never)


def open_whole(url: str, *, create: bool = False) -> AbstractContextManager[Connection]:
    """A write transaction of one who changes a database as a whole, and leaves it then.

    It is committed, durably, at the end of the block, unless that raises.

    Args:
        url: the database.
        create: whether an SQLite file is made where there is none. A PostgreSQL database must
            exist, with tables or without.

    Raises:
        ConfigurationError: the database can't be opened, or an extra is missing.
    """
    if is_sqlite(url):
        from .sqlite import changing_file

        if not create and not exists(url):
            raise unusable("database", f"{describe_database(url)} doesn't exist")
        return changing_file(url)
    _require_driver()
    from .postgres_whole import changing_database

    return changing_database(url)


def is_there(url: str) -> bool:
    """Whether the server of a database takes connections; SQLite needs none.

    Raises:
        ConfigurationError: an extra is missing, or the URL is wrong.
    """
    if is_sqlite(url):
        return True
    _require_driver()
    from .postgres_connect import takes_connections

    return takes_connections(url)


def exists(url: str) -> bool:
    """Whether there is such a database; of PostgreSQL only an attempt to open it can tell."""
    return not is_sqlite(url) or os.path.exists(database_path(url))


def dialect_of(url: str) -> Dialect:
    """The SQL that the engine of this database speaks."""
    return make_url("sqlite://" if is_sqlite(url) else "postgresql+psycopg://").get_dialect()()


def _require_driver() -> None:
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigurationError(
            "PostgreSQL needs psycopg, not installed here: "
            'pip install "appid-manager-client[server,postgres]"'
        )


def _never() -> bool:
    return False

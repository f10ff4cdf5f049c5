"""Which engine a database's URL names. Nothing else tells the engines apart by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from ...errors import ConfigurationError
from ..clock import Clock, SystemClock
from ..settings import is_sqlite
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
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigurationError(
            "PostgreSQL needs psycopg, not installed here: "
            'pip install "appid-manager-client[server,postgres]"'
        )
    from .postgres import PostgresEngine

    return PostgresEngine(url, clock, leapt or _never)


def _never() -> bool:
    return False

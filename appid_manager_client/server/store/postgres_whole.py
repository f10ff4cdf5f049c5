"""A PostgreSQL database opened by one who changes it as a whole: makes tables, migrates, copies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from ...errors import unusable
from ..operations import Unavailable
from . import postgres_sql as sql
from .contract import DoAgain, Touched
from .postgres_commits import not_vouched_for
from .postgres_connect import Connector, commit, open_from, raw_of, run_together
from .postgres_errors import first_line
from .postgres_watch import Watch


@contextlib.contextmanager
def changing_database(url: str) -> Iterator[Connection]:
    """A write transaction: committed, durably, at the end of the block, unless that raises.

    Raises:
        ConfigurationError: the database can't be used.
    """
    connector = Connector(url)
    with contextlib.ExitStack() as undo:
        undo.callback(connector.close)
        engine = connector.make_engine(NullPool)
        undo.callback(engine.dispose)
        undo.enter_context(refusing(connector.name))
        connection = undo.enter_context(contextlib.closing(open_from(engine)))
        with in_a_transaction(connection, connector.watch):
            yield connection


@contextlib.contextmanager
def in_a_transaction(connection: Connection, watch: Watch) -> Iterator[None]:
    """A write transaction without a bound on its statements: a migration can take long.

    Raises:
        Unavailable: it was committed, and a standby that takes over may not have it.
    """
    connection.begin()
    try:
        run_together(connection, sql.BEGIN_WHOLE)
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            connection.rollback()
        raise
    with watch.over(raw_of(connection), sql.longest(Touched())):
        warning = commit(connection)
    if warning is not None:
        raise not_vouched_for(warning)


@contextlib.contextmanager
def refusing(name: str) -> Iterator[None]:
    """Make one line about the database, a `ConfigurationError`, of what goes wrong with it."""
    try:
        yield
    except (Unavailable, DoAgain, SQLAlchemyError, psycopg.Error) as error:
        problem = first_line(error)
    else:
        return
    # Outside of the handler: the error has frames that hold what callers sent.
    raise unusable("database", f"{name}: {problem}")

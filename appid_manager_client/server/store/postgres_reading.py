"""Reading from PostgreSQL: a few connections that threads share, beside the one that writes.

Each transaction sees all as it was at one moment, and changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import Connection
from sqlalchemy.pool import QueuePool

from ..clock import Clock
from . import postgres_sql as sql
from .contract import Begun, DoAgain
from .postgres_connect import Connector, is_broken, open_from, raw_of, run_together
from .postgres_errors import meaning

_CONNECTIONS = 2
# How many seconds a query waits for one of them.
_PATIENCE = 3


class Readers:
    """The connections that read. For use by many threads.

    Args:
        connector: opens them.
        clock: the time, in place of the database's.
    """

    def __init__(self, connector: Connector, clock: Clock | None) -> None:
        self._connector = connector
        self._engine = connector.make_engine(
            QueuePool, pool_size=_CONNECTIONS, max_overflow=0, pool_timeout=_PATIENCE
        )
        self._clock = clock

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Begun]:
        """See `Engine.reading`."""
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(contextlib.closing(self._begin()))
            raw = raw_of(connection)
            stack.enter_context(self._connector.watch.over(raw, sql.READING_SECONDS))
            try:
                yield Begun(connection, self._now(connection))
                connection.rollback()  # nothing was changed, and nothing is to be kept
            except Exception as error:
                told = meaning(error, lost=is_broken(connection))
                if told is None:
                    raise
                raise (told.otherwise if isinstance(told, DoAgain) else told) from None

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _begin(self) -> Connection:
        """A connection in a transaction. All that were lost while nobody used them are replaced."""
        for _ in range(_CONNECTIONS):
            connection = open_from(self._engine)
            try:
                connection.begin()
                run_together(connection, sql.BEGIN_READING)
                return connection
            except Exception as error:
                told = meaning(error, lost=is_broken(connection))
                connection.invalidate()
                connection.close()
                if not isinstance(told, DoAgain):
                    raise told or error from None
        connection = open_from(self._engine)
        connection.begin()
        run_together(connection, sql.BEGIN_READING)
        return connection

    def _now(self, connection: Connection) -> int:
        if self._clock is not None:
            return self._clock()
        now: int = connection.exec_driver_sql(f"SELECT {sql.CLOCK}").scalar_one()
        return now

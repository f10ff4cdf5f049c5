"""The table `processes`: which services use a database, so that nobody changes it under them.

Every service has a row, and refreshes it every two seconds. A row that was not refreshed for ten
seconds, on the database's clock, counts as that of a dead process.
"""

from __future__ import annotations

import os
import secrets
import socket
import time

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from ..._version import __version__
from ...errors import unusable
from ..hours import Hours
from ..operations import Unavailable
from .meta import HOURS_KEY, SCHEMA_KEY, means, read_meta, why_not_this_one
from .tables import SCHEMA, processes

REFRESH_EVERY = 2.0
"""Seconds after which a service refreshes its row."""

DEAD_AFTER_MS = 10_000

# Rows of processes that were killed are deleted by the next start an hour later.
_FORGET_AFTER_MS = 3_600_000

_REFRESH = (
    update(processes).where(processes.c.name == bindparam("this")).values(seen=bindparam("now"))
)


class Registration:
    """The row of this service, for one store. Not for use by several threads at once.

    Args:
        hours: the hours of this service.
    """

    def __init__(self, hours: Hours) -> None:
        self._hours = hours
        # A process has a number of its own on its machine only while it lives.
        self.name = f"{socket.gethostname()}:{os.getpid()}-{secrets.token_hex(2)}"
        self._refresh_at = 0.0
        self._last_hours: str | None = None  # the last stored definition that was found the same

    def enter(self, connection: Connection) -> None:
        """Add the row, and delete those of processes that died long ago."""
        now = database_time(connection)
        connection.execute(
            delete(processes).where(
                (processes.c.seen < now - _FORGET_AFTER_MS)
                | (processes.c.seen > now + _FORGET_AFTER_MS)
            )
        )
        self._add(connection, now)

    def due(self) -> bool:
        """Whether to refresh the row before anything else is done to the database.

        A process that slept looks first, as others may have changed the database meanwhile.
        """
        return _running_time() >= self._refresh_at

    def refresh(self, connection: Connection, now: int) -> None:
        """Refresh the row, and look whether the database is still the one that was started on.

        Args:
            connection: in a write transaction that was begun.
            now: the service's time.

        Raises:
            Unavailable: this service can't go on with the database.
        """
        # First the row, on which a migration waits, then what a migration may have changed.
        seen = database_time(connection)
        if connection.execute(_REFRESH, {"this": self.name, "now": seen}).rowcount == 0:
            self._add(connection, seen)
        self._check(read_meta(connection), now)
        self._refresh_at = _running_time() + REFRESH_EVERY

    def leave(self, connection: Connection) -> None:
        """Delete the row: this service uses the database no more."""
        connection.execute(delete(processes).where(processes.c.name == self.name))

    def _add(self, connection: Connection, now: int) -> None:
        connection.execute(
            insert(processes).values(name=self.name, version=__version__, schema=SCHEMA, seen=now)
        )

    def _check(self, values: dict[str, str], now: int) -> None:
        schema, stored = values.get(SCHEMA_KEY), values.get(HOURS_KEY)
        if schema != SCHEMA:
            raise _incompatible(
                f"the database was changed to schema {schema}, and this service "
                f"({__version__}) knows schema {SCHEMA}"
            )
        problem = why_not_this_one(values)
        if problem is not None:
            raise _incompatible(f"the database {problem}")
        if stored != self._last_hours:
            if stored is not None and not means(stored, self._hours, now):
                raise _incompatible(
                    f"the hours of the database were changed to {stored}, and this service has "
                    f"{self._hours.definition}"
                )
            self._last_hours = stored


def refuse_while_used(connection: Connection, name: str, deed: str) -> None:
    """Refuse to do something to a database that a living service uses.

    No service can start or go on until the transaction ends.

    Args:
        connection: in a transaction that holds the write lock.
        name: the database, as messages name it.
        deed: what is refused, such as "its tables can't be changed".

    Raises:
        ConfigurationError: a living service is registered. Names each one.
    """
    if connection.dialect.name == "postgresql":
        # In the order in which batches lock them: they are let finish, and then wait.
        tables = "appids, leases, line, meta, processes"
        connection.execute(text(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"))
    living = living_processes(connection)
    if living:
        raise unusable("database", f"{name}: {deed} while {_list(living)}")


def living_processes(connection: Connection) -> list[tuple[str, str, str]]:
    """The name, version and schema of each service that uses the database now."""
    now = database_time(connection)
    rows = connection.execute(
        select(processes.c.name, processes.c.version, processes.c.schema)
        # One that was seen in the future died before the clock was set back.
        .where(processes.c.seen.between(now - DEAD_AFTER_MS, now + DEAD_AFTER_MS)).order_by(
            processes.c.name
        )
    )
    return [(row.name, row.version, row.schema) for row in rows]


_CLOCKS = {
    "sqlite": text("SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"),
    "postgresql": text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"),
}


def database_time(connection: Connection) -> int:
    """The time of the database's machine, in milliseconds since the Unix epoch.

    Not the service's clock, which a test may turn.
    """
    return int(connection.execute(_CLOCKS[connection.dialect.name]).scalar_one())


def _running_time() -> float:
    # Goes on while the machine sleeps, unlike the monotonic clock of Linux.
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _incompatible(message: str) -> Unavailable:
    return Unavailable("incompatible", f"{message}; stop this service", retry_after=10)


def _list(living: list[tuple[str, str, str]]) -> str:
    services = ", ".join(
        f"{name} (version {version}, schema {schema})" for name, version, schema in living
    )
    return (
        f"a service uses it: {services}; stop it, and try again (one that was killed counts for "
        f"{DEAD_AFTER_MS // 1000} more seconds)"
    )

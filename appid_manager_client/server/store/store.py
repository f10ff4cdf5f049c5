"""The store: runs batches of operations, each batch in one transaction with one commit, and answers questions.

`execute` is for one thread at a time; `status` and `history` can run beside it, on connections of their own.
Several processes can share one database: what counts is decided inside transactions, and nothing is cached.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import RootTransaction, delete, select, update

from ..hours import Hours
from ..operations import (
    Abandon,
    Acquire,
    Heartbeat,
    HistoryQuery,
    Init,
    Operation,
    Outcome,
    Release,
    Sweep,
    Swept,
    describe,
)
from .acquire import acquire
from .endings import expire, grant_grace
from .history import read_history
from .init import initialise
from .release import release, renew
from .requests import REQUEST_MEMORY_MS
from .sqlite import open_engines
from .status import read_status
from .tables import leases
from .transaction import Moment

logger = logging.getLogger("appid_manager_client.server")

_DAY_MS = 24 * 3600 * 1000
_PRUNED_AT_ONCE = 5_000


class Store:
    """The AppIDs and leases of one database.

    Args:
        database: an SQLAlchemy URL.
        hours: where the hours turn.
        clock: returns now, in milliseconds since the Unix epoch.
        leapt: whether the clock was set since it was asked last; leases then get one `ttl` of grace.
        history_days: how long ended leases are kept.
    """

    def __init__(
        self,
        database: str,
        hours: Hours,
        clock: Callable[[], int],
        *,
        leapt: Callable[[], bool] = lambda: False,
        history_days: int = 90,
    ) -> None:
        self.hours = hours
        self.clock = clock
        self._leapt = leapt
        self._history_ms = history_days * _DAY_MS
        self._writer, self._reader = open_engines(database)
        # One connection for life: to borrow it anew for each batch costs as much as a statement.
        self._connection = self._writer.connect()
        # While no service ran, no heartbeat could arrive.
        with self._connection.begin():
            now = self.clock()
            grant_grace(Moment(self._connection, now, self.hours.at(now)))

    def execute(self, operations: Sequence[Operation]) -> list[Outcome | Exception]:
        """Carry out a batch and return its outcomes in the same order, all of them committed.

        An operation that fails unexpectedly gets its exception as its outcome, and doesn't harm the others.
        """
        try:
            if self._connection.closed:
                self._connection = self._writer.connect()
            transaction = self._connection.begin()
        except Exception as error:
            # Another process has the lock: each of them alone would wait as long again.
            return [error] * len(operations)
        try:
            return list(self._transact(transaction, operations))
        except Exception as error:
            # A commit that did not work can leave its transaction open.
            self._connection.close()
            if len(operations) == 1:
                return [error]
            logger.warning(
                "a batch of %d failed and is run one by one: %s", len(operations), describe(error)
            )
        return [self.execute([operation])[0] for operation in operations]

    def status(self, product: str | None, details: bool = True) -> dict[str, Any]:
        """The body of a status answer."""
        with self._reader.begin() as connection:
            return read_status(connection, self.hours, self.clock(), product, details)

    def history(self, query: HistoryQuery) -> list[dict[str, Any]]:
        """The leases that `query` asks for, the newest first."""
        with self._reader.begin() as connection:
            return read_history(connection, query)

    def close(self) -> None:
        """Close the connections. Nothing may be asked afterwards."""
        self._connection.close()
        self._reader.dispose()
        self._writer.dispose()

    def _transact(
        self, transaction: RootTransaction, operations: Sequence[Operation]
    ) -> list[Outcome]:
        outcomes: dict[Operation, Outcome] = {}
        with transaction:
            # After the lock was got: however long that took, this is when it happens.
            now = self.clock()
            moment = Moment(self._connection, now, self.hours.at(now))
            if self._leapt():
                logger.warning("the clock was set: every lease with a ttl gets it whole from now")
                grant_grace(moment)
            self._run(moment, operations, outcomes)
        return [outcomes[operation] for operation in operations]

    def _run(
        self, moment: Moment, operations: Sequence[Operation], outcomes: dict[Operation, Outcome]
    ) -> None:
        """All of them waited at the same time, so any order is right; this one serves the most."""
        heartbeats = [op for op in operations if isinstance(op, Heartbeat)]
        if heartbeats:
            renew(moment, heartbeats, outcomes)
        expire(moment)
        releases = [op for op in operations if isinstance(op, Release | Abandon)]
        if releases:
            release(moment, releases, outcomes)
        for operation in operations:
            if isinstance(operation, Init):
                outcomes[operation] = initialise(moment, operation)
            elif isinstance(operation, Sweep):
                if operation.prune:
                    self._prune(moment)
                outcomes[operation] = Swept(moment.now)
        acquires = [op for op in operations if isinstance(op, Acquire)]
        if acquires:
            acquire(moment, acquires, outcomes)

    def _prune(self, moment: Moment) -> None:
        forgotten = moment.now - REQUEST_MEMORY_MS
        moment.connection.execute(
            update(leases)
            .where(leases.c.request_id.is_not(None), leases.c.stop <= forgotten)
            .values(request_id=None)
        )
        old = (
            select(leases.c.id)
            .where(leases.c.stop.is_not(None), leases.c.stop < moment.now - self._history_ms)
            .limit(_PRUNED_AT_ONCE)
        )
        moment.connection.execute(delete(leases).where(leases.c.id.in_(old)))

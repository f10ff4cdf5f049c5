"""The store: runs batches of operations, each in one transaction with one commit; answers queries.

`execute` is for one thread at a time; `status` and `history` can run beside it, on connections of
their own. Several processes can share one database: everything is decided inside transactions, and
nothing is cached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import RootTransaction

from ..clock import Clock
from ..hours import Hours
from ..log import describe_failure, logger
from ..operations import (
    Abandon,
    Acquire,
    Heartbeat,
    HistoryQuery,
    Init,
    LeaseRecord,
    Operation,
    Outcome,
    Release,
    Status,
    StatusQuery,
    Sweep,
    Swept,
)
from .acquire import acquire
from .endings import expire, grant_grace
from .heartbeat import extend
from .history import read_history
from .init import initialize
from .pruning import prune
from .release import release
from .sqlite import open_engines
from .status import read_status
from .transaction import Transaction

_DAY_MS = 24 * 3600 * 1000


class Store:
    """The AppIDs and leases of one database.

    Args:
        database: an SQLAlchemy URL.
        hours: where the hours begin and end.
        clock: the service's clock.
        clock_jumped: returns whether the clock was set since the last call; every lease then gets
            one whole ttl of grace.
        history_days: how many days an ended lease is kept.

    Raises:
        ConfigurationError: the database can't be opened.
    """

    def __init__(
        self,
        database: str,
        hours: Hours,
        clock: Clock,
        *,
        clock_jumped: Callable[[], bool] = lambda: False,
        history_days: int = 90,
    ) -> None:
        self.hours = hours
        self.clock = clock
        self._clock_jumped = clock_jumped
        self._history_ms = history_days * _DAY_MS
        self._writer, self._reader = open_engines(database)
        # One connection for all batches: borrowing it for each one costs as much as a statement.
        self._connection = self._writer.connect()
        # While no service ran, no heartbeat could be received.
        with self._connection.begin():
            grant_grace(self._transaction())

    def execute(self, operations: Sequence[Operation]) -> list[Outcome | Exception]:
        """Carry out a batch; returns its outcomes in the same order, all of them committed.

        An operation that fails unexpectedly has its exception as its outcome; the others of the
        batch are carried out.
        """
        try:
            if self._connection.closed:
                self._connection = self._writer.connect()
            begun = self._connection.begin()
        except Exception as error:
            # Another process holds the write lock: each operation alone would wait as long again.
            return [error] * len(operations)
        try:
            return list(self._execute_in(begun, operations))
        except Exception as error:
            # A commit that failed can leave its transaction open.
            self._connection.close()
            if len(operations) == 1:
                return [error]
            logger.warning(
                "a batch of %d operations failed and is run one by one: %s",
                len(operations),
                describe_failure(error),
            )
        return [self.execute([operation])[0] for operation in operations]

    def status(self, query: StatusQuery) -> Status:
        """The AppIDs that `query` asks for, and what each one is doing now."""
        with self._reader.begin() as connection:
            return read_status(connection, self.hours, self.clock(), query)

    def history(self, query: HistoryQuery) -> list[LeaseRecord]:
        """The leases that `query` asks for, the newest first."""
        with self._reader.begin() as connection:
            return read_history(connection, query)

    def check(self) -> None:
        """Return if a write would be taken now.

        Raises:
            Unavailable: it would not; says why.
        """

    def close(self) -> None:
        """Close the connections. The store can't be used afterwards."""
        self._connection.close()
        self._reader.dispose()
        self._writer.dispose()

    def _transaction(self) -> Transaction:
        # Read now, after the lock was taken.
        now = self.clock()
        return Transaction(self._connection, now, self.hours.at(now))

    def _execute_in(self, begun: RootTransaction, operations: Sequence[Operation]) -> list[Outcome]:
        outcomes: dict[Operation, Outcome] = {}
        with begun:
            transaction = self._transaction()
            if self._clock_jumped():
                logger.warning("the clock was set: every lease with a ttl has all of it from now")
                grant_grace(transaction)
            self._apply(transaction, operations, outcomes)
        return [outcomes[operation] for operation in operations]

    def _apply(
        self,
        transaction: Transaction,
        operations: Sequence[Operation],
        outcomes: dict[Operation, Outcome],
    ) -> None:
        """Apply the operations. They waited together, so any order is right.

        This order serves the most: leases are extended before they expire, and AppIDs are released
        and added before they are granted.
        """
        heartbeats = [op for op in operations if isinstance(op, Heartbeat)]
        if heartbeats:
            extend(transaction, heartbeats, outcomes)
        expire(transaction)
        releases = [op for op in operations if isinstance(op, Release | Abandon)]
        if releases:
            release(transaction, releases, outcomes)
        for operation in operations:
            if isinstance(operation, Init):
                outcomes[operation] = initialize(transaction, operation)
            elif isinstance(operation, Sweep):
                if operation.prune:
                    prune(transaction, self._history_ms)
                outcomes[operation] = Swept(transaction.now)
        acquires = [op for op in operations if isinstance(op, Acquire)]
        if acquires:
            acquire(transaction, acquires, outcomes)

"""The store: runs batches of operations, each in one transaction with one commit; answers queries.

`execute` is for one thread at a time; `status`, `products` and `history` can run beside it, on
connections of their own. Several processes can share one database: everything is decided inside
transactions, and nothing is cached.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Connection, RootTransaction
from sqlalchemy.exc import SQLAlchemyError

from ..clock import Clock
from ..hours import Hours
from ..log import describe_failure, log_event, logger
from ..operations import (
    Abandon,
    Acquire,
    Heartbeat,
    HistoryQuery,
    Init,
    LeaseRecord,
    Look,
    Operation,
    Outcome,
    Products,
    Release,
    Reserve,
    Status,
    StatusQuery,
    Sweep,
    Swept,
    Unavailable,
)
from ..settings import database_path
from .acquire import acquire
from .endings import expire, grant_grace, log_expired
from .heartbeat import extend
from .history import read_history
from .init import initialize
from .pruning import prune
from .release import release
from .reserve import reserve
from .sqlite import open_engines, opening
from .sqlite_errors import unavailable
from .sqlite_files import DatabaseFiles
from .start import take_up
from .status import read_products, read_status
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
        change_hours: have the database use these hours from now on, if it uses others.

    Raises:
        ConfigurationError: the database can't be opened, or this service must not use it.
    """

    def __init__(
        self,
        database: str,
        hours: Hours,
        clock: Clock,
        *,
        clock_jumped: Callable[[], bool] = lambda: False,
        history_days: int = 90,
        change_hours: bool = False,
    ) -> None:
        self.hours = hours
        self.clock = clock
        self._clock_jumped = clock_jumped
        self._history_ms = history_days * _DAY_MS
        self._files = DatabaseFiles(database_path(database))
        self._writer, self._reader = open_engines(database, self._files)
        # One connection for all batches: borrowing it for each one costs as much as a statement.
        self._connection = self._writer.connect()
        self._failed = False
        try:
            with opening(database, self._files), self._connection.begin():
                transaction = self._transaction()
                self._registration = take_up(
                    self._connection, database, hours, transaction.now, change_hours=change_hours
                )
                # While no service ran, no heartbeat could be received.
                grant_grace(transaction)
        except BaseException:
            self._close_connections()
            raise
        self._files.remember()

    def execute(self, operations: Sequence[Operation]) -> list[Outcome | Exception]:
        """Carry out a batch; returns its outcomes in the same order, all of them committed.

        An operation that fails unexpectedly has its exception as its outcome; the others of the
        batch are carried out. While the database can't be used, all have an `Unavailable`.
        """
        try:
            self._files.ensure_present()
            if self._connection.closed:
                self._connection = self._writer.connect()
            begun = self._connection.begin()
        except Exception as error:
            # Each operation alone would wait for the same lock as long again.
            return [self._fault(error)] * len(operations)
        try:
            outcomes = self._execute_in(begun, operations)
            # What was written to a file that is gone meanwhile must not be acknowledged.
            self._files.ensure_present()
            return list(outcomes)
        except Exception as error:
            # A commit that failed can leave its transaction open.
            self._connection.close()
            fault = self._fault(error)
        if len(operations) == 1 or isinstance(fault, Unavailable):
            return [fault] * len(operations)
        logger.warning(
            "a batch of %d operations failed and is run one by one: %s",
            len(operations),
            describe_failure(fault),
        )
        return self._one_by_one(operations)

    def status(self, query: StatusQuery) -> Status:
        """The AppIDs that `query` asks for, and what each one is doing now."""
        with self._reading() as connection:
            return read_status(connection, self.hours, self.clock(), query)

    def products(self) -> Products:
        """How many AppIDs each product has now."""
        with self._reading() as connection:
            return read_products(connection, self.hours, self.clock())

    def history(self, query: HistoryQuery) -> list[LeaseRecord]:
        """The leases that `query` asks for, the newest first."""
        with self._reading() as connection:
            return read_history(connection, query)

    def check(self) -> None:
        """Return if a write would be taken now.

        Raises:
            Unavailable: it would not; says why.
        """
        (outcome,) = self.execute([Look()])
        if isinstance(outcome, Exception):
            raise outcome

    def close(self) -> None:
        """Close the connections. The store can't be used afterwards."""
        try:
            if not self._connection.closed:
                with self._connection.begin():
                    self._registration.leave(self._connection)
        except SQLAlchemyError as error:
            logger.warning("this service could not sign off: %s", describe_failure(error))
        finally:
            self._close_connections()

    def _close_connections(self) -> None:
        self._connection.close()
        self._reader.dispose()
        self._writer.dispose()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            # Before: SQLite would make an empty file where the database was.
            self._files.ensure_present()
            with self._reader.begin() as connection:
                yield connection
        except Exception as error:
            fault = unavailable(error, self._files)
            if fault is None:
                raise
            raise fault from None

    def _one_by_one(self, operations: Sequence[Operation]) -> list[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        for operation in operations:
            outcomes += self.execute([operation])
            if isinstance(outcomes[-1], Unavailable):
                # The others would wait as long, and hear the same.
                outcomes += [outcomes[-1]] * (len(operations) - len(outcomes))
                break
        return outcomes

    def _fault(self, error: Exception) -> Exception:
        """What the operations of a batch have as their outcome when it failed with `error`."""
        fault = unavailable(error, self._files)
        self._failed = self._failed or fault is not None
        return error if fault is None else fault

    def _transaction(self) -> Transaction:
        # Read now, after the lock was taken.
        now = self.clock()
        return Transaction(self._connection, now, self.hours.at(now))

    def _execute_in(self, begun: RootTransaction, operations: Sequence[Operation]) -> list[Outcome]:
        outcomes: dict[Operation, Outcome] = {}
        with begun:
            transaction = self._transaction()
            looks = any(isinstance(operation, Look) for operation in operations)
            if looks or self._registration.due():
                self._registration.refresh(self._connection, transaction.now)
            if self._clock_jumped():
                log_event(
                    logging.WARNING,
                    "clock_set",
                    "the clock was set: every lease with a ttl has all of it from now, %(now)d",
                    now=transaction.now,
                )
                grant_grace(transaction)
            elif self._failed:
                # Heartbeats were refused meanwhile.
                grant_grace(transaction)
            expired = self._apply(transaction, operations, outcomes)
        log_expired(expired)
        self._failed = False
        return [outcomes[operation] for operation in operations]

    def _apply(
        self,
        transaction: Transaction,
        operations: Sequence[Operation],
        outcomes: dict[Operation, Outcome],
    ) -> Counter[str]:
        """Apply the operations. They waited together, so any order is right.

        This order serves the most: leases are extended before they expire, and AppIDs are released
        and added before they are granted. Returns how many leases of each product had expired.
        """
        heartbeats = [op for op in operations if isinstance(op, Heartbeat)]
        if heartbeats:
            extend(transaction, heartbeats, outcomes)
        expired = expire(transaction)
        releases = [op for op in operations if isinstance(op, Release | Abandon)]
        if releases:
            release(transaction, releases, outcomes)
        for operation in operations:
            if isinstance(operation, Init):
                outcomes[operation] = initialize(transaction, operation)
            elif isinstance(operation, Reserve):
                outcomes[operation] = reserve(transaction, operation)
            elif isinstance(operation, Sweep):
                if operation.prune:
                    prune(transaction, self._history_ms)
                outcomes[operation] = Swept(transaction.now)
            elif isinstance(operation, Look):
                outcomes[operation] = Swept(transaction.now)
        acquires = [op for op in operations if isinstance(op, Acquire)]
        if acquires:
            acquire(transaction, acquires, outcomes)
        return expired

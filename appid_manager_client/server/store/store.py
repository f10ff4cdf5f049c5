"""The store: runs batches of operations, each in one transaction with one commit; answers queries.

`execute` is for one thread at a time; `status`, `products` and `history` can run beside it, on
connections of their own. Several processes can share one database: everything is decided inside
transactions, and nothing is cached.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence

from ..clock import Clock
from ..hours import Hours
from ..log import describe_failure, log_event, logger
from ..operations import (
    Abandon,
    Acquire,
    Doubt,
    Heartbeat,
    Init,
    Leave,
    Look,
    Operation,
    Outcome,
    Pause,
    Release,
    Reserve,
    Sweep,
    Swept,
    Tend,
    Unavailable,
)
from ..records import History, HistoryQuery, Line, LineQuery, Products, Status, StatusQuery, Use
from . import in_line
from .acquire import acquire
from .contract import Begun, DoAgain, Touched, touched_by
from .doubt import put_in_doubt
from .endings import expire, grant_grace, log_expired
from .engines import open_engine
from .heartbeat import extend
from .history import count_rows, read_history, read_uses
from .init import initialize
from .meta import session_key
from .pausing import pause, paused_products
from .pruning import prune
from .release import release
from .reserve import reserve
from .start import take_up
from .status import read_products, read_status
from .tending import Tending
from .transaction import Transaction
from .waiters import read_line

_DAY_MS = 24 * 3600 * 1000

# For how many seconds the clock must have been left alone before anything is deleted by it.
_STEADY_AFTER = 3600.0


# How often a batch is tried that others came in the way of.
_TRIES = 5


class Store:
    """The AppIDs and leases of one database.

    Args:
        database: the URL of an SQLite file or of a PostgreSQL database.
        hours: where the hours begin and end.
        clock: the service's clock; by default this machine's, or the database server's.
        clock_jumped: returns whether the clock was set since the last call; every lease then gets
            one whole ttl of grace.
        history_days: how many days an ended lease is kept.
        monotonic: a clock in seconds that nobody sets.
        change_hours: have the database use these hours from now on, if it uses others.

    Raises:
        ConfigurationError: the database can't be opened, or this service must not use it.

    Attributes:
        clock: returns the time that callers see, in milliseconds since the Unix epoch.
        expired: how many leases of each product this store found to have expired.
        note_commit: called with the seconds that each commit took.
        session_key: what all services of the database sign the sessions of browsers with.
    """

    def __init__(
        self,
        database: str,
        hours: Hours,
        clock: Clock | None = None,
        *,
        clock_jumped: Callable[[], bool] | None = None,
        history_days: int = 90,
        monotonic: Callable[[], float] = time.monotonic,
        change_hours: bool = False,
    ) -> None:
        self.hours = hours
        self._monotonic = monotonic
        # A machine can start with a wrong clock, which is set soon afterwards.
        self._steady_since = monotonic()
        self._history_ms = history_days * _DAY_MS
        self._engine = open_engine(database, clock, clock_jumped)
        self.clock: Clock = self._engine.clock
        self.expired: Counter[str] = Counter()
        self.note_commit: Callable[[float], object] = lambda seconds: None
        self._failed = False
        self._tending = Tending(hours, monotonic)
        self._forsaken: list[Release] = []
        try:
            with self._engine.starting() as begun:
                self._registration = take_up(
                    begun.connection, self._engine.name, hours, begun.now, change_hours=change_hours
                )
                self.session_key = session_key(begun.connection)
                # While no service ran, no heartbeat could be received.
                grant_grace(self._transaction(begun))
        except BaseException:
            self._engine.close()
            raise

    def execute(self, operations: Sequence[Operation]) -> list[Outcome | Exception]:
        """Carry out a batch; returns its outcomes in the same order, all of them committed.

        An operation that fails unexpectedly has its exception as its outcome; the others of the
        batch are carried out. While the database can't be used, all have an `Unavailable`.
        """
        try:
            return list(self._execute(operations))
        except Exception as error:
            fault = error
        if isinstance(fault, Unavailable):
            self._failed = True
        if len(operations) == 1 or isinstance(fault, Unavailable):
            # Each operation alone would wait for the same lock as long again.
            return [fault] * len(operations)
        logger.warning(
            "a batch of %d operations failed and is run one by one: %s",
            len(operations),
            describe_failure(fault),
        )
        return self._one_by_one(operations)

    def status(self, query: StatusQuery) -> Status:
        """The AppIDs that `query` asks for, and what each one is doing now."""
        with self._engine.reading() as begun:
            return read_status(begun.connection, self.hours, begun.now, query)

    def products(self, product: str | None = None) -> Products:
        """How many AppIDs each product has now, or the one."""
        with self._engine.reading() as begun:
            return read_products(begun.connection, self.hours, begun.now, product)

    def line(self, query: LineQuery) -> Line:
        """Who waits for a product now."""
        with self._engine.reading() as begun:
            return read_line(begun.connection, self.hours, begun.now, query)

    def history(self, query: HistoryQuery) -> History:
        """The leases and the acts of operators that `query` asks for, the newest first."""
        with self._engine.reading() as begun:
            return read_history(begun.connection, begun.now, query)

    def history_rows(self) -> int:
        """About how many rows the history has."""
        with self._engine.reading() as begun:
            return count_rows(begun.connection)

    def uses(self, names: Sequence[str], since: int) -> list[Use]:
        """When these AppIDs were in use since a time."""
        with self._engine.reading() as begun:
            return read_uses(begun.connection, names, since)

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
            with self._engine.writing(Touched()) as begun:
                self._registration.leave(begun.connection)
        except Exception as error:
            logger.warning("this service could not sign off: %s", describe_failure(error))
        finally:
            self._engine.close()

    def _one_by_one(self, operations: Sequence[Operation]) -> list[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        for operation in operations:
            outcomes += self.execute([operation])
            if isinstance(outcomes[-1], Unavailable):
                # The others would wait as long, and hear the same.
                outcomes += [outcomes[-1]] * (len(operations) - len(outcomes))
                break
        return outcomes

    def _execute(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Carry out a batch in one transaction, and again if others came in its way."""
        self._forsaken += self._engine.forsaken()
        every = [*operations, *self._forsaken]
        tends = any(isinstance(operation, Tend) for operation in operations)
        touched = touched_by(
            every,
            # Heartbeats were refused while the database could not be used.
            with_ttl=self._failed,
            all_lines=tends and self._tending.begin(self.clock()),
        )
        tries = 0
        while True:
            try:
                outcomes = self._execute_once(every, touched)
                break
            except DoAgain as again:
                tries += 1
                if tries == _TRIES:
                    raise again.otherwise from None
                touched = again.touched(touched)
        self._failed = False
        if tends:
            self._tending.end(self.clock())
        self._forsaken.clear()
        return [outcomes[operation] for operation in operations]

    def _execute_once(
        self, operations: Sequence[Operation], touched: Touched
    ) -> dict[Operation, Outcome]:
        outcomes: dict[Operation, Outcome] = {}
        with self._engine.writing(touched) as begun:
            looks = any(isinstance(operation, Look) for operation in operations)
            if looks or self._registration.due():
                self._registration.refresh(begun.connection, begun.now)
            if self._engine.leapt():
                self._steady_since = self._monotonic()
                log_event(
                    logging.WARNING,
                    "clock_set",
                    "the clock was set: every lease with a ttl has all of it from now, %(now)d",
                    now=begun.now,
                )
                if not touched.with_ttl:
                    raise DoAgain(_CLOCK_WAS_SET, with_ttl=True)
            transaction = self._transaction(begun)
            if touched.with_ttl:
                grant_grace(transaction)
            expired = self._apply(transaction, operations, outcomes)
            applied = time.perf_counter()
        self.note_commit(time.perf_counter() - applied)
        log_expired(expired)
        self.expired.update(expired)
        return outcomes

    def _transaction(self, begun: Begun) -> Transaction:
        return Transaction(
            begun.connection,
            begun.now,
            self.hours,
            self._engine,
            self._monotonic() - self._steady_since >= _STEADY_AFTER,
            begun.locked,
            begun.due,
            begun.repeats,
            begun.waiting,
            begun.lines,
            paused_products(begun.connection) if begun.pauses else frozenset(),
        )

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
        doubts = [op for op in operations if isinstance(op, Doubt)]
        if doubts:
            put_in_doubt(transaction, doubts, outcomes)
        expired = expire(transaction)
        releases = [op for op in operations if isinstance(op, Release | Abandon)]
        if releases:
            release(transaction, releases, outcomes)
        leaves = [op for op in operations if isinstance(op, Leave | Abandon)]
        if leaves:
            in_line.leave(transaction, leaves, outcomes)
        tends = [op for op in operations if isinstance(op, Tend)]
        if tends:
            outcomes.update(dict.fromkeys(tends, self._tending.tend(transaction, tends)))
        for operation in operations:
            if isinstance(operation, Init):
                outcomes[operation] = initialize(transaction, operation)
            elif isinstance(operation, Reserve):
                outcomes[operation] = reserve(transaction, operation)
            elif isinstance(operation, Pause):
                outcomes[operation] = pause(transaction, operation)
            elif isinstance(operation, Sweep):
                more = (
                    operation.prune
                    and transaction.may_forget
                    and prune(transaction, self._history_ms)
                )
                outcomes[operation] = Swept(transaction.now, more)
            elif isinstance(operation, Look):
                outcomes[operation] = Swept(transaction.now)
        acquires = [op for op in operations if isinstance(op, Acquire)]
        if acquires:
            acquire(transaction, acquires, outcomes)
        return expired


_CLOCK_WAS_SET = Unavailable("locked", "the clock of the service is set again and again")

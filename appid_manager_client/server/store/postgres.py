"""PostgreSQL: its transactions, its locks, its time, and how AppIDs are taken.

One connection writes, a batch at a time. Works behind a pooler of transactions: nothing is kept in
a session. Statements stand in `postgres_sql`, connections in `postgres_connect`, queries in
`postgres_reading`, lost commits in `postgres_commits`, errors in `postgres_errors`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from ..clock import Clock
from ..operations import Release, Unavailable
from . import postgres_sql as sql
from .bounds import FIRST, Bounds, Place
from .contract import Asked, Begun, DoAgain, NewAppId, Taken, Touched
from .postgres_commits import Batch, Fate, OpenBatches, fate_of, not_vouched_for
from .postgres_connect import Connector, commit, is_broken, open_from, raw_of, run_together
from .postgres_errors import away, meaning
from .postgres_reading import Readers
from .postgres_watch import Exchange
from .postgres_whole import in_a_transaction, refusing
from .schema import bring_up_to_date
from .tables import NEVER

# How many seconds a lost commit is asked after, before its callers hear that nobody knows.
_SETTLE_WITHIN = 2.0
_SETTLE_EVERY = 0.05

# The database's clock and the monotonic one of this machine drift apart by far less between two
# batches.
_LEAP_MS = 5_000


_HUNG = "the database's server doesn't answer; whether the request was carried out is not known"


class PostgresEngine:
    """A PostgreSQL database.

    Args:
        url: as libpq takes it.
        clock: the time, in place of the database's.
        leapt: whether that clock was set since the last call.

    Raises:
        ConfigurationError: the database can't be used.
    """

    def __init__(
        self,
        url: str,
        clock: Clock | None = None,
        leapt: Callable[[], bool] = lambda: False,
    ) -> None:
        self._connector = Connector(url)
        self.name = self._connector.name
        self._writer = self._connector.make_engine(NullPool)
        self._readers = Readers(self._connector, clock)
        # Borrowing a connection for each batch costs as much as a statement.
        self._connection: Connection | None = None
        self._batch: Batch | None = None
        self._open_batches = OpenBatches()
        self._bounds = Bounds()
        self._clock = clock
        self._clock_leapt = leapt
        self._ahead_ms: float | None = None  # the database's time less the monotonic one
        self._leapt = False
        with self._opening():
            connection = self._connected()
            with in_a_transaction(connection, self._connector.watch):
                bring_up_to_date(connection, self.name)

    @contextlib.contextmanager
    def _opening(self) -> Iterator[None]:
        """Make `ConfigurationError`s of what keeps a service from starting."""
        try:
            with refusing(self.name):
                yield
        except BaseException:
            self.close()
            raise

    # --- time

    def clock(self) -> int:
        """See `Engine`."""
        if self._clock is not None:
            return self._clock()
        if self._ahead_ms is None:  # no batch was run yet
            return int(time.time() * 1000)
        return int(_monotonic_ms() + self._ahead_ms)

    def leapt(self) -> bool:
        """See `Engine`."""
        if self._clock is not None:
            return self._clock_leapt()
        leapt, self._leapt = self._leapt, False
        return leapt

    def _set_clock(self, now: int) -> None:
        ahead = now - _monotonic_ms()
        if self._ahead_ms is not None and abs(ahead - self._ahead_ms) > _LEAP_MS:
            self._leapt = True
        self._ahead_ms = ahead

    # --- transactions

    @contextlib.contextmanager
    def starting(self) -> Iterator[Begun]:
        """See `Engine`."""
        with self._opening(), self.writing(Touched(with_ttl=True)) as begun:
            yield begun

    @contextlib.contextmanager
    def writing(self, touched: Touched) -> Iterator[Begun]:
        """See `Engine`."""
        connection = self._connected()
        with self._connector.watch.over(raw_of(connection), sql.longest(touched)) as exchange:
            try:
                self._open_batches.settle(connection)
                connection.begin()
                (number,) = run_together(connection, sql.begin(touched))
                self._batch = Batch(number, self._connector.server.incarnation)
                yield self._lock(connection, touched)
            except BaseException as error:
                told = self._roll_back(error, exchange)
                if told is None:
                    raise
                raise told from None
            self._commit(connection, exchange)
        if exchange.cancelled:  # in its last moment
            self._drop_connection()

    def reading(self) -> contextlib.AbstractContextManager[Begun]:
        """See `Engine`."""
        return self._readers.transaction()

    def _lock(self, connection: Connection, touched: Touched) -> Begun:
        text, parameters = sql.lock(touched, None if self._clock is None else self._clock())
        found = connection.exec_driver_sql(text, parameters).one()
        now, locked, first_due, repeats, waiting, pauses = found
        if self._clock is None:
            self._set_clock(now)
        else:
            now = self._clock()
        if touched.reorders:
            self._bounds.forget()
        # What is released in this batch gets a time of release that is no earlier.
        self._bounds.forget_behind(now if first_due is None else min(now, first_due))
        return Begun(
            connection,
            now,
            frozenset(locked or ()),
            first_due is not None,
            repeats,
            waiting,
            None if touched.all_lines else touched.lines,
            pauses,
        )

    def _connected(self) -> Connection:
        """The connection of batches; opened if there is none.

        Raises:
            Unavailable: it can't be opened.
        """
        if self._connection is None:
            self._connection = open_from(self._writer)
        return self._connection

    def _roll_back(self, error: BaseException, exchange: Exchange) -> Exception | None:
        """End a transaction without a commit. Returns what to raise in place of `error`."""
        connection, self._batch = self._connection, None
        assert connection is not None
        lost = is_broken(connection)
        if not lost:
            try:
                connection.rollback()
            except Exception:
                lost = True
        told = away(_HUNG) if exchange.given_up else meaning(error, lost=lost)
        if lost or (told is not None and not isinstance(error, Unavailable | DoAgain)):
            # Another connection may reach a server that does better.
            self._drop_connection()
        return told

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._bounds.forget()
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.invalidate()
            with contextlib.suppress(Exception):
                connection.close()

    # --- commits

    def _commit(self, connection: Connection, exchange: Exchange) -> None:
        batch, self._batch = self._batch, None
        assert batch is not None
        try:
            warning = commit(connection)
        except Exception as error:
            told = meaning(error, lost=False)
            if not is_broken(connection):
                # The server itself has refused it.
                with contextlib.suppress(Exception):
                    connection.rollback()
                self._drop_connection()
                if told is None:
                    raise
                raise told from None
            # The connection was lost, and what became of the batch is unknown.
            self._drop_connection()
            if exchange.given_up:
                # Nor would an answer come now, and callers have waited long enough.
                self._open_batches.add(batch)
                raise away(_HUNG) from None
        else:
            if warning is None:
                return
            # A standby that takes over may not have it.
            self._open_batches.add(batch)
            raise not_vouched_for(warning)
        self._settle(batch)

    def _settle(self, batch: Batch) -> None:
        """Return if the batch was committed.

        Raises:
            DoAgain: it was not.
            Unavailable: nobody knows.
        """
        deadline = time.monotonic() + _SETTLE_WITHIN
        fate = Fate.UNDER_WAY
        while fate is Fate.UNDER_WAY and time.monotonic() < deadline:
            try:
                connection = self._connected()
                with self._connector.watch.over(raw_of(connection), sql.FATE_SECONDS):
                    fate = fate_of(batch, connection)
            except Exception:
                self._drop_connection()
            if fate is Fate.UNDER_WAY:
                time.sleep(_SETTLE_EVERY)
        if fate is Fate.COMMITTED:
            return
        if fate is Fate.ABORTED:
            raise DoAgain(away("the connection to the database was lost"))
        self._open_batches.add(batch)
        raise away(
            "the connection to the database was lost during a commit; whether the request was "
            "carried out is not known"
        )

    def forsaken(self) -> list[Release]:
        """See `Engine`."""
        return self._open_batches.take_forsaken()

    # --- inits

    def find_in_others(
        self, connection: Connection, product: str, names: Collection[str]
    ) -> tuple[str, str] | None:
        """See `Engine`."""
        asked = {"product": product, "names": list(names)}
        found = connection.exec_driver_sql(sql.IN_OTHERS, asked).first()
        return None if found is None else (found.appid, found.product)

    def add_appids(self, connection: Connection, rows: Iterable[NewAppId]) -> int:
        """See `Engine`."""
        count = 0
        with raw_of(connection).cursor().copy(sql.ADD_APPIDS) as copy:
            for count, row in enumerate(rows, 1):
                copy.write_row((*row, False, NEVER))
        return count

    # --- grants

    def take(
        self, connection: Connection, now: int, asked: Sequence[Asked]
    ) -> list[Sequence[Taken]]:
        """See `Engine`."""
        bounds = [self._bounds.of(group.product) for group in asked]
        taken = self._take(connection, now, asked, bounds)
        short: dict[int, Asked] = {}
        for number, group in enumerate(asked):
            got = len(taken[number])
            if got < len(group.wanted) and bounds[number] != FIRST:
                # What was released meanwhile, with a time that has passed, stands before the bound.
                short[number] = group._replace(wanted=group.wanted[got:])
        if short:
            more = self._take(connection, now, list(short.values()), [FIRST] * len(short))
            for number, found in zip(short, more, strict=True):
                taken[number] += found
        return [*taken]

    def _take(
        self, connection: Connection, now: int, asked: Sequence[Asked], bounds: Sequence[Place]
    ) -> list[list[Taken]]:
        text, parameters = sql.take(now, asked, bounds)
        taken: list[list[Taken]] = [[] for _ in asked]
        assert self._batch is not None
        rows = connection.exec_driver_sql(text, parameters)
        for number, appid, vid, fence, last_stop, position in rows:
            group = asked[number]
            one = group.wanted[len(taken[number])]
            release = Release(group.product, appid, one.lease_id)
            self._batch.grants.append((release, one.request_id is not None))
            if group.since <= NEVER:
                self._bounds.note(group.product, (last_stop, position))
            taken[number].append(Taken(appid, vid, fence))
        return taken

    def close(self) -> None:
        """See `Engine`."""
        self._drop_connection()
        self._writer.dispose()
        self._readers.close()
        self._connector.close()


def _monotonic_ms() -> float:
    return time.monotonic() * 1000

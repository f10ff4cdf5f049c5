"""What the store needs of a database engine; SQLite and PostgreSQL each have one.

An engine begins and ends transactions, takes locks, says what time it is, takes the next AppIDs,
and knows what an error of its driver means. What operations do stands in the store's other
modules, once for all engines. Tables are made and changed by `schema`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from ..operations import (
    Abandon,
    Acquire,
    Doubt,
    Heartbeat,
    Init,
    Leave,
    Operation,
    Release,
    Reserve,
    Unavailable,
)

LOCK_PATIENCE = 1.5
"""How many seconds a transaction waits for the locks of others.

Clients wait 5 s for an answer by default. A request can wait for the batch before it and then for
its own.
"""


@dataclass(frozen=True, slots=True)
class Touched:
    """What a batch is going to read or change, so that an engine can lock it beforehand.

    Leases whose ttl is over are always among it.

    Attributes:
        appids: AppIDs by name.
        lease_ids: the AppIDs that these leases hold.
        request_ids: what these requests got, or will get.
        products: all AppIDs of these products, which are going to be replaced or updated.
        reorders: whether an AppID can become free that stands before others that were granted.
        with_ttl: whether all leases that have a ttl are extended.
        lines: the products whose line is changed, or read by those who are granted.
        all_lines: whether that is so for every product.
        contended: what acquires of a product may get (its name, and a time before which the
            AppID was last used) while others have it locked; how many are wanted.
    """

    appids: frozenset[str] = frozenset()
    lease_ids: frozenset[str] = frozenset()
    request_ids: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    reorders: bool = False
    with_ttl: bool = False
    lines: frozenset[str] = frozenset()
    all_lines: bool = False
    contended: Mapping[tuple[str, int], int] = field(default_factory=dict)


def touched_by(
    operations: Sequence[Operation], *, with_ttl: bool = False, all_lines: bool = False
) -> Touched:
    """What these operations are going to read or change."""
    appids: set[str] = set()
    lease_ids: set[str] = set()
    request_ids: set[str] = set()
    products: set[str] = set()
    lines: set[str] = set()
    reorders = False
    for operation in operations:
        if isinstance(operation, Acquire):
            if operation.request_id is not None:
                request_ids.add(operation.request_id)
            if operation.hold_until is not None:
                lines.add(operation.product)
        elif isinstance(operation, Release):
            appids.add(operation.appid)
        elif isinstance(operation, Abandon):
            request_ids.add(operation.request_id)
            lines.add(operation.product)
        elif isinstance(operation, Leave):
            lines.add(operation.product)
        elif isinstance(operation, Heartbeat):
            lease_ids.update(operation.lease_ids)
        elif isinstance(operation, Doubt):
            lease_ids.add(operation.lease_id)
        elif isinstance(operation, Init):
            products.add(operation.product)
            reorders = True
        elif isinstance(operation, Reserve):
            appids.add(operation.appid)
            reorders = True
    return Touched(
        frozenset(appids),
        frozenset(lease_ids),
        frozenset(request_ids),
        frozenset(products),
        reorders,
        with_ttl,
        frozenset(lines),
        all_lines,
    )


class DoAgain(Exception):
    """Nothing of a batch was done, and it can be done again at once, in a new transaction.

    Attributes:
        otherwise: what callers hear if it was tried often enough.
        contended: see `Touched`.
        with_ttl: see `Touched`.
        lines: see `Touched`.
    """

    def __init__(
        self,
        otherwise: Unavailable,
        *,
        contended: Mapping[tuple[str, int], int] | None = None,
        with_ttl: bool = False,
        lines: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(otherwise.message)
        self.otherwise = otherwise
        self.contended = contended or {}
        self.with_ttl = with_ttl
        self.lines = lines

    def touched(self, before: Touched) -> Touched:
        """What the next try touches, if the last one touched `before`."""
        return replace(
            before,
            with_ttl=before.with_ttl or self.with_ttl,
            lines=before.lines | self.lines,
            contended={**before.contended, **self.contended},
        )


class Begun(NamedTuple):
    """A transaction that was begun, and has its locks.

    Attributes:
        connection: in the transaction.
        now: the time, read after the last lock was taken.
        locked: the rows of `appids` whose state may be changed; `None`: all of them.
        due: whether a lease may have expired that can be ended now.
        repeats: whether one of the requests that were touched may be a known one.
        waiting: whether anybody may wait in line.
        lines: the products whose line may be changed; `None`: all of them.
        pauses: whether a product may be paused.
    """

    connection: Connection
    now: int
    locked: frozenset[int] | None = None
    due: bool = True
    repeats: bool = True
    waiting: bool = True
    lines: frozenset[str] | None = None
    pauses: bool = True


class Wanted(NamedTuple):
    """An acquire that is to get an AppID, with the columns of its lease that are known."""

    lease_id: str
    request_id: str | None
    holder: str | None
    ttl: int | None
    expires: int | None
    token: str | None


class Asked(NamedTuple):
    """Acquires of one product.

    Attributes:
        product: whose AppIDs.
        before: only AppIDs that were last released before this time.
        since: only those that were not last released before this one.
        wanted: who gets them, in this order.
    """

    product: str
    before: int
    since: int
    wanted: Sequence[Wanted]


class Taken(NamedTuple):
    """What an acquire got."""

    appid: str
    vid: str
    fence: int


class NewAppId(NamedTuple):
    """A row of `appids` that is added: an AppID that was never used and isn't retired."""

    appid: str
    product: str
    vid: str
    position: int
    held: bool
    fence: int
    reserved: bool
    note: str | None


NEW_APPID_COLUMNS = tuple(NewAppId.__annotations__)


class Engine(Protocol):
    """A database that was opened. One thread writes; any thread may read."""

    @property
    def name(self) -> str:
        """The database as people may read it: without a password."""

    def clock(self) -> int:
        """The time that callers see, in milliseconds since the Unix epoch. Never waits."""

    def leapt(self) -> bool:
        """Whether the clock was set, or time passed unnoticed, since the last call."""

    def starting(self) -> AbstractContextManager[Begun]:
        """The first write transaction, by a service that starts; it touches all leases with a ttl.

        Raises:
            ConfigurationError: the database can't be used. Says why in one line.
        """

    def writing(self, touched: Touched) -> AbstractContextManager[Begun]:
        """A write transaction: committed, durably, at the end of the block, unless that raises.

        What it `touched` is locked. Where another transaction keeps it locked, it is waited for,
        `LOCK_PATIENCE` at the most.

        Raises:
            DoAgain: nothing was done, and the same batch can be done now.
            Unavailable: the database can't be used now. Whether the batch was done is only
                uncertain if the message says so.
        """

    def reading(self) -> AbstractContextManager[Begun]:
        """A transaction that reads, and sees all as it was at one moment.

        Raises:
            Unavailable: the database can't be used now.
        """

    def take(
        self, connection: Connection, now: int, asked: Sequence[Asked]
    ) -> list[Sequence[Taken]]:
        """Grant the next AppIDs of each product: mark them as held, and add their leases.

        Args:
            connection: in a write transaction.
            now: when they are granted.
            asked: no product twice.

        Returns:
            For each of `asked`, what the first of its `wanted` got, in their order. Fewer than
            asked for if there is nothing more, or if others have it locked.
        """

    def find_in_others(
        self, connection: Connection, product: str, names: Collection[str]
    ) -> tuple[str, str] | None:
        """An AppID of `names` that another product has, and that product; `None`: none has."""

    def add_appids(self, connection: Connection, rows: Iterable[NewAppId]) -> int:
        """Add AppIDs, without having all rows in memory at once. Returns how many they were.

        Args:
            connection: in a write transaction.
            rows: they are made one after the other.
        """

    def forsaken(self) -> list[Release]:
        """Grants of batches whose callers were told that nothing was done, to be released.

        Each is returned once: the caller releases it.
        """

    def close(self) -> None:
        """Close all connections."""

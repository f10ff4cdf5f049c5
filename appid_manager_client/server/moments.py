"""One transaction's view of the world, and what every kind of operation needs from it: ending leases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, bindparam, delete, select, update

from .hours import Hour
from .tables import appids, leases

T = TypeVar("T")

# Well below the number of variables that a statement may have.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Moment:
    """A transaction, with the one time that holds for everything in it."""

    connection: Connection
    now: int
    hour: Hour


@dataclass(frozen=True, slots=True)
class Ending:
    """One lease that ends: the rows it touches, when it stops, and why."""

    lease_row: int
    appid_row: int
    retired: bool
    stop: int
    last_stop: int
    ended: str


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """`values` in lists that fit into one statement."""
    rest = list(values)
    for start in range(0, len(rest), _CHUNK):
        yield rest[start : start + _CHUNK]


_FREE = (
    update(appids)
    .where(appids.c.id == bindparam("row"))
    .values(held=False, last_stop=bindparam("stop"))
)
_END = (
    update(leases)
    .where(leases.c.id == bindparam("row"))
    .values(stop=bindparam("at"), ended=bindparam("how"))
)


def end_leases(moment: Moment, endings: Sequence[Ending]) -> None:
    """End the leases and free their AppIDs; an AppID that was to go when it is released goes.

    An AppID's last stop never moves back, even when the clock does: otherwise one that was released before the clock
    was set back could become free again in an hour in which it had been used.
    """
    if not endings:
        return
    execute = moment.connection.execute
    execute(_END, [{"row": e.lease_row, "at": e.stop, "how": e.ended} for e in endings])
    freed = [
        {"row": e.appid_row, "stop": max(e.stop, e.last_stop)} for e in endings if not e.retired
    ]
    if freed:
        execute(_FREE, freed)
    for rows in chunks(e.appid_row for e in endings if e.retired):
        execute(delete(appids).where(appids.c.id.in_(rows)))


_DUE = (
    select(
        leases.c.id,
        leases.c.start,
        leases.c.expires,
        appids.c.id.label("appid_row"),
        appids.c.retired,
        appids.c.last_stop,
    )
    .join(appids, appids.c.appid == leases.c.appid)
    .where(leases.c.stop.is_(None), leases.c.expires.is_not(None))
    .where(leases.c.expires <= bindparam("now"))
    .with_for_update(of=appids)
)


def expire(moment: Moment) -> None:
    """End what is due, at the moment at which it was due."""
    rows = moment.connection.execute(_DUE, {"now": moment.now}).all()
    end_leases(
        moment,
        [
            Ending(
                row.id,
                row.appid_row,
                row.retired,
                max(row.expires, row.start),
                row.last_stop,
                "expired",
            )
            for row in rows
        ],
    )


_GRACE = (
    update(leases)
    .where(leases.c.stop.is_(None), leases.c.ttl.is_not(None))
    .values(expires=leases.c.ttl + bindparam("now"))
)


def grant_grace(moment: Moment) -> None:
    """Give every lease one whole ttl from now: nobody could be heard, or the clock lied about how long it was."""
    moment.connection.execute(_GRACE, {"now": moment.now})

"""How leases end: by a release, by their ttl, or by an init; and the grace after an outage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, update

from .tables import appids, leases
from .transaction import Moment, chunks


@dataclass(frozen=True, slots=True)
class Ending:
    """One lease that ends: the rows it touches, when it stops, and why."""

    lease_row: int
    appid_row: int
    retired: bool
    stop: int
    last_stop: int
    ended: str


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

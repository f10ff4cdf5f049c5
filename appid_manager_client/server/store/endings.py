"""How leases end, by a release, by their ttl, or by an init; and the grace after an outage."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from ..log import log_event
from ..operations import Unavailable
from .contract import DoAgain
from .fences import remove_appids
from .hot import Hot
from .tables import appids, leases
from .transaction import Transaction, chunks

_MOST_SHOWN = 20  # products, in one line of the log


@dataclass(frozen=True, slots=True)
class Ending:
    """One lease that ends: the rows that change, when it stopped, and why.

    `retired` and `last_stop` are those of the AppID's row, `by` the name of the token with which it
    was released.
    """

    lease_row: int
    appid_row: int
    retired: bool
    stop: int
    last_stop: int
    ended: str
    by: str | None = None


_END_LEASE = (
    update(leases)
    .where(leases.c.id == bindparam("row"), leases.c.stop.is_(None))
    .values(stop=bindparam("at"), ended=bindparam("how"), ended_by=bindparam("by_token"))
)
_FREE_APPID = (
    update(appids).where(appids.c.id == bindparam("row"))
    # Nobody gets a reserved one after its release.
    .values(held=appids.c.reserved, last_stop=bindparam("stop"))
)


def end_leases(transaction: Transaction, endings: Sequence[Ending]) -> None:
    """End leases and free their AppIDs; retired AppIDs are deleted.

    An AppID's last stop never moves back, even when the clock does: an AppID that was released
    before the clock was set back could otherwise become free again in an hour in which it was used.
    """
    if not endings:
        return
    execute = transaction.connection.execute
    ended = execute(
        _END_LEASE,
        [{"row": e.lease_row, "at": e.stop, "how": e.ended, "by_token": e.by} for e in endings],
    ).rowcount
    if ended != len(endings):
        raise DoAgain(Unavailable("locked", "a lease was ended by somebody else meanwhile"))
    freed = [
        {"row": e.appid_row, "stop": max(e.stop, e.last_stop)} for e in endings if not e.retired
    ]
    if freed:
        execute(_FREE_APPID, freed)
    for rows in chunks(e.appid_row for e in endings if e.retired):
        remove_appids(transaction, appids.c.id.in_(rows))


_EXPIRED = Hot(
    select(
        leases.c.id,
        leases.c.start,
        leases.c.expires,
        leases.c.product,
        appids.c.id.label("appid_row"),
        appids.c.retired,
        appids.c.last_stop,
    )
    .join(appids, appids.c.appid == leases.c.appid)
    .where(leases.c.stop.is_(None), leases.c.expires.is_not(None))
    .where(leases.c.expires <= bindparam("now"))
)


def expire(transaction: Transaction) -> Counter[str]:
    """End the leases whose ttl is over, as of their expiry, however late that is noticed.

    Returns how many they were of each product.
    """
    if not transaction.due:
        return Counter()
    rows = [
        row
        for row in _EXPIRED.all(transaction.connection, now=transaction.now)
        # One that has expired since the locks were taken is left to the next transaction.
        if transaction.locked is None or row.appid_row in transaction.locked
    ]
    end_leases(
        transaction,
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
    return Counter(row.product for row in rows)


def log_expired(expired: Counter[str]) -> None:
    """Log how many leases have expired, once that is on disk."""
    if expired:
        log_event(
            logging.INFO,
            "expired",
            "%(count)d leases expired, by product: %(products)s",
            count=expired.total(),
            products=dict(expired.most_common(_MOST_SHOWN)),
        )


_RESTART_TTL = (
    update(leases)
    .where(leases.c.stop.is_(None), leases.c.ttl.is_not(None))
    .values(expires=leases.c.ttl + bindparam("now"))
)


def grant_grace(transaction: Transaction) -> None:
    """Give every live lease one whole ttl from now.

    For a time in which no heartbeat could be received, or in which the clock was wrong.
    """
    transaction.connection.execute(_RESTART_TTL, {"now": transaction.now})

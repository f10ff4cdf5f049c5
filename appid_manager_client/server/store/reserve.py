"""How an AppID is taken out of use, and back into use.

While nobody has it, a reserved AppID is `held` without a lease: so acquires pass over it as they
pass over one that is in use, and need no look of their own.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, case, select, update

from ..operations import AppIdState, Outcome, Refused, Reserve, Reserved
from ..records import ActKind
from .acts import note_act
from .release import misnamed
from .tables import NEVER, appids, leases
from .transaction import Transaction


def reserve(transaction: Transaction, operation: Reserve) -> Outcome:
    """Carry out `operation`."""
    execute = transaction.connection.execute
    this = appids.c.appid == operation.appid
    row = execute(select(appids).where(this)).first()
    # One that an init removed is only there until its holder releases it.
    known = row is not None and not row.retired
    if row is None or not known or row.product != operation.product:
        return misnamed(operation.product, operation.appid, known=known)
    # Read once the AppID is locked: its lease can't begin or end any more.
    live = and_(leases.c.appid == operation.appid, leases.c.stop.is_(None))
    in_use = execute(select(leases.c.id).where(live)).first() is not None
    doing = _state(transaction, row.last_stop, in_use=in_use, reserved=row.reserved)
    if operation.expected not in (None, doing):
        return Refused("changed", f"AppID {operation.appid!r} is {_WORDS[doing]} now")
    if in_use and not operation.reserved and not row.reserved:
        return Refused("in_use", f"AppID {operation.appid!r} is in use, and it isn't reserved")
    change: dict[str, Any] = {
        "reserved": operation.reserved,
        "note": operation.by.note if operation.reserved else None,
        "held": in_use or operation.reserved,
    }
    if not operation.reserved and row.last_stop > transaction.now:
        start, stop = _last_use(transaction, operation)
        change["last_stop"] = stop
        if not in_use:
            change["last_start"] = start
    execute(update(appids).where(appids.c.id == row.id).values(change))
    kind: ActKind = "reserve" if operation.reserved else "free"
    note_act(transaction, kind, operation.product, operation.by, appid=operation.appid)
    last_stop = change.get("last_stop", row.last_stop)
    state = _state(transaction, last_stop, in_use=in_use, reserved=operation.reserved)
    return Reserved(
        operation.product,
        operation.appid,
        operation.reserved,
        change["note"],
        state,
        transaction.now,
    )


_WORDS: dict[AppIdState, str] = {
    "in_use": "in use",
    "reserved": "reserved",
    "available": "available",
    "used_in_current_hour": "used in this hour",
}


def _state(transaction: Transaction, last_stop: int, *, in_use: bool, reserved: bool) -> AppIdState:
    if in_use:
        return "in_use"
    if reserved:
        return "reserved"
    return "available" if last_stop < transaction.hour.start else "used_in_current_hour"


def _last_use(transaction: Transaction, operation: Reserve) -> tuple[int | None, int]:
    """Start and stop of the last use of an AppID, by what the history has of the time until now.

    Of a lease that ended in the future, because the clock was wrong, only its start is believed.
    """
    now = transaction.now
    known_until = case((leases.c.stop > now, leases.c.start), else_=leases.c.stop)
    found = transaction.connection.execute(
        select(leases.c.start, known_until)
        .where(leases.c.appid == operation.appid, leases.c.product == operation.product)
        .where(leases.c.stop.is_not(None), leases.c.start <= now)
        # An init that reset the product forgot those uses.
        .where(leases.c.ended != "reset")
        .order_by(known_until.desc())
        .limit(1)
    ).first()
    return (None, NEVER) if found is None else (found[0], found[1])

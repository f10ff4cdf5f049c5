"""Fences: how the next one of an AppID is made, and what outlives an AppID that is removed.

A fence is larger than every earlier one of the same AppID, whatever happened in between: an init,
a removal, a clock that was set back. Who compares fences is outside of the service.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, bindparam, case, delete, func, select, update

from .meta import FENCE_FLOOR_KEY
from .tables import appids, meta
from .transaction import Transaction

NEXT_FENCE = case((appids.c.fence < bindparam("now"), bindparam("now")), else_=appids.c.fence + 1)
"""The fence of a grant, for a statement that updates the row of `appids` and has the time `now`.

The time makes it grow even if the row was lost, in a restore of an old backup. It stays below 2^53:
times do, up to the year 285,000, and one more for each grant doesn't get far.
"""

_IS_FLOOR = meta.c.key == FENCE_FLOOR_KEY
_FLOOR = select(meta.c.value).where(_IS_FLOOR).with_for_update()
_RAISE_FLOOR = update(meta).where(_IS_FLOOR).values(value=bindparam("floor"))


def fence_floor(transaction: Transaction) -> int:
    """The largest fence of all AppIDs that were ever removed: rows that are added start with it.

    Whoever holds the lock on it waits for no lock on an AppID afterwards.
    """
    return int(transaction.connection.execute(_FLOOR).scalar_one())


def remove_appids(transaction: Transaction, which: ColumnElement[bool]) -> int:
    """Delete the rows of `appids` that are meant, which are locked already. Returns how many.

    Their fences are not forgotten: an AppID that is added again later goes on above them.
    """
    execute = transaction.connection.execute
    largest = execute(select(func.max(appids.c.fence)).where(which)).scalar()
    if largest is None:
        return 0
    if largest > fence_floor(transaction):
        execute(_RAISE_FLOOR, {"floor": str(largest)})
    return execute(delete(appids).where(which)).rowcount

"""What is forgotten with time: request ids after a day, ended leases after the history's days.

In slices, each in a batch with what callers want: nobody waits long for one.
"""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select, update

from .request_ids import REQUEST_MEMORY_MS
from .tables import leases
from .transaction import Transaction

_SLICE = 500  # leases; some 10 ms

_ENDED_BEFORE = (
    select(leases.c.id)
    .where(leases.c.stop.is_not(None), leases.c.stop < bindparam("before"))
    .order_by(leases.c.stop)
    .limit(_SLICE)
)
_FORGET = (
    update(leases)
    .where(leases.c.id.in_(_ENDED_BEFORE.where(leases.c.request_id.is_not(None))))
    .values(request_id=None)
)
_DELETE = delete(leases).where(leases.c.id.in_(_ENDED_BEFORE))


def prune(transaction: Transaction, history_ms: int) -> bool:
    """Forget a slice of old request ids, and one of leases that ended `history_ms` ago and more.

    Returns whether there may be more of them.
    """
    execute = transaction.connection.execute
    forgotten = execute(_FORGET, {"before": transaction.now - REQUEST_MEMORY_MS + 1}).rowcount
    deleted = execute(_DELETE, {"before": transaction.now - history_ms}).rowcount
    return max(forgotten, deleted) >= _SLICE

"""What is forgotten with time: request ids after a day, the history after its days.

In slices, each in a batch with what callers want: nobody waits long for one.
"""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select, text, update

from .request_ids import REQUEST_MEMORY_MS
from .tables import acts, leases
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
FORGET_ON_SQLITE = (
    "UPDATE leases SET request_id = NULL WHERE id IN ("
    "SELECT id FROM leases INDEXED BY ix_leases_remembered"
    " WHERE stop IS NOT NULL AND stop < :before AND request_id IS NOT NULL"
    f" ORDER BY stop LIMIT {_SLICE})"
)
"""The same. By itself SQLite goes through the whole history for each slice."""

_DELETE = delete(leases).where(leases.c.id.in_(_ENDED_BEFORE))
_DELETE_ACTS = delete(acts).where(
    acts.c.id.in_(
        select(acts.c.id).where(acts.c.at < bindparam("before")).order_by(acts.c.at).limit(_SLICE)
    )
)


def prune(transaction: Transaction, history_ms: int) -> bool:
    """Forget a slice of old request ids, and one of what ended or was done `history_ms` ago.

    Returns whether there may be more of them.
    """
    execute = transaction.connection.execute
    on_sqlite = transaction.connection.dialect.name == "sqlite"
    forget = text(FORGET_ON_SQLITE) if on_sqlite else _FORGET
    forgotten = execute(forget, {"before": transaction.now - REQUEST_MEMORY_MS + 1}).rowcount
    old = {"before": transaction.now - history_ms}
    deleted, acts_deleted = execute(_DELETE, old).rowcount, execute(_DELETE_ACTS, old).rowcount
    return max(forgotten, deleted, acts_deleted) >= _SLICE

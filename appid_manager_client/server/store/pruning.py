"""What is forgotten with time: request ids after a day, ended leases after the history's days."""

from __future__ import annotations

from sqlalchemy import delete, select, update

from .request_ids import REQUEST_MEMORY_MS
from .tables import leases
from .transaction import Transaction

# Bounds how long one transaction takes, and with it how long other operations wait.
_LEASES_AT_ONCE = 5_000


def prune(transaction: Transaction, history_ms: int) -> None:
    """Forget old request ids, and delete some leases that ended more than `history_ms` ago."""
    execute = transaction.connection.execute
    execute(
        update(leases)
        .where(
            leases.c.request_id.is_not(None),
            leases.c.stop <= transaction.now - REQUEST_MEMORY_MS,
        )
        .values(request_id=None)
    )
    old = (
        select(leases.c.id)
        .where(leases.c.stop.is_not(None), leases.c.stop < transaction.now - history_ms)
        .limit(_LEASES_AT_ONCE)
    )
    execute(delete(leases).where(leases.c.id.in_(old)))

"""How heartbeats extend leases, each by its own ttl."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select, update

from ..operations import Extended, Heartbeat, Operation, Outcome, Unavailable
from .contract import DoAgain
from .doubt import is_in_doubt, settle
from .tables import leases
from .transaction import Transaction, chunks

_LIVE_LEASES = (
    select(leases.c.lease_id, leases.c.id, leases.c.ttl, leases.c.expires)
    .where(leases.c.lease_id.in_(bindparam("ids", expanding=True)))
    .where(leases.c.stop.is_(None))
)
_EXTEND = (
    update(leases)
    .where(leases.c.id == bindparam("row"), leases.c.stop.is_(None))
    .values(expires=bindparam("until"))
)


def extend(
    transaction: Transaction, operations: list[Heartbeat], outcomes: dict[Operation, Outcome]
) -> None:
    """Carry out all heartbeats, and put their outcomes into `outcomes`.

    A heartbeat that was received before the lease expired counts, however long it had to wait
    for its batch.
    """
    live: dict[str, Any] = {}
    for ids in chunks({lease_id for op in operations for lease_id in op.lease_ids}):
        for found in transaction.connection.execute(_LIVE_LEASES, {"ids": ids}):
            live[found.lease_id] = found
    extended: dict[int, int] = {}
    in_doubt: list[int] = []
    for operation in operations:
        outcome = Extended()
        for lease_id in dict.fromkeys(operation.lease_ids):
            row: Any = live.get(lease_id)
            if row is None or not _in_time(row, operation, extended):
                outcome.lost.append(lease_id)
            elif row.ttl is None:
                outcome.expires[lease_id] = None
                if is_in_doubt(row):
                    in_doubt.append(row.id)
            else:
                extended[row.id] = outcome.expires[lease_id] = transaction.now + row.ttl
        outcomes[operation] = outcome
    settle(transaction, in_doubt)
    if extended:
        done = transaction.connection.execute(
            _EXTEND, [{"row": row, "until": until} for row, until in extended.items()]
        ).rowcount
        if done != len(extended):
            raise DoAgain(Unavailable("locked", "a lease was ended by somebody else meanwhile"))


def _in_time(row: Any, operation: Heartbeat, extended: dict[int, int]) -> bool:
    return row.expires is None or row.id in extended or row.expires > operation.received

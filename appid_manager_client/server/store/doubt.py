"""Leases without a ttl whose holder may never hear of them: its connection was gone at the grant.

Such a lease ends after a minute, unless its holder asks for it again with the same request, or
extends it: then it lasts until it is released, as it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, null, update

from ..operations import Doubt, Extended, Operation, Outcome
from .tables import leases
from .transaction import Transaction, chunks

DOUBT_MS = 60_000
"""For so long the holder can still come for it."""

_PUT_IN_DOUBT = (
    update(leases)
    .where(leases.c.lease_id.in_(bindparam("ids", expanding=True)))
    .where(leases.c.stop.is_(None), leases.c.ttl.is_(None))
    .values(expires=bindparam("until"))
)
_SETTLE = (
    update(leases)
    .where(leases.c.id.in_(bindparam("rows", expanding=True)), leases.c.stop.is_(None))
    .values(expires=null())
)


def put_in_doubt(
    transaction: Transaction, operations: list[Doubt], outcomes: dict[Operation, Outcome]
) -> None:
    """Carry out all of `operations`, and put their outcomes into `outcomes`."""
    until = transaction.now + DOUBT_MS
    for ids in chunks(operation.lease_id for operation in operations):
        transaction.connection.execute(_PUT_IN_DOUBT, {"ids": ids, "until": until})
    for operation in operations:
        outcomes[operation] = Extended({operation.lease_id: until})


def is_in_doubt(lease: Any) -> bool:
    """Whether a live lease is one that ends unless its holder comes."""
    return lease.ttl is None and lease.expires is not None


def settle(transaction: Transaction, rows: Iterable[int]) -> None:
    """The holders of these leases came."""
    for part in chunks(rows):
        transaction.connection.execute(_SETTLE, {"rows": part})

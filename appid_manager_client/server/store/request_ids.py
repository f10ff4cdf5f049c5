"""The memory of request ids: which lease a request got, for as long as its id is remembered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ARRAY, Connection, Text, any_, bindparam, select, update

from .hot import Hot
from .tables import leases
from .transaction import Transaction, chunks

REQUEST_MEMORY_MS = 24 * 3600 * 1000
"""How long a request id is remembered after its lease ended, at least."""

_REQUESTED = select(
    leases.c.id,
    leases.c.request_id,
    leases.c.lease_id,
    leases.c.product,
    leases.c.appid,
    leases.c.vid,
    leases.c.start,
    leases.c.stop,
    leases.c.ended,
    leases.c.ttl,
    leases.c.expires,
    leases.c.fence,
)
_OF_REQUESTS = _REQUESTED.where(leases.c.request_id.in_(bindparam("ids", expanding=True)))
_OF_ANY_REQUEST = Hot(
    _REQUESTED.where(leases.c.request_id == any_(bindparam("ids", type_=ARRAY(Text))))
)
_OF_ONE_REQUEST = Hot(_REQUESTED.where(leases.c.request_id == bindparam("wanted")))

_FORGET = (
    update(leases).where(leases.c.id.in_(bindparam("rows", expanding=True))).values(request_id=None)
)


def find_requests(transaction: Transaction, request_ids: Iterable[str]) -> dict[str, Any]:
    """The rows of the leases that these requests got, by request id.

    Ids that are remembered no longer are forgotten here.
    """
    found: dict[str, Any] = {}
    forgotten: list[int] = []
    oldest = transaction.now - REQUEST_MEMORY_MS
    for ids in chunks(request_ids):
        for row in _read(transaction.connection, ids):
            if transaction.may_forget and row.stop is not None and row.stop <= oldest:
                forgotten.append(row.id)
            else:
                found[row.request_id] = row
    for rows in chunks(forgotten):
        transaction.connection.execute(_FORGET, {"rows": rows})
    return found


def _read(connection: Connection, ids: list[str]) -> Iterable[Any]:
    if connection.dialect.name == "postgresql":
        return _OF_ANY_REQUEST.all(connection, ids=ids)
    if len(ids) == 1:
        return _OF_ONE_REQUEST.all(connection, wanted=ids[0])
    return connection.execute(_OF_REQUESTS, {"ids": ids})

"""The history: who had which AppID when. Changes nothing."""

from __future__ import annotations

from sqlalchemy import Connection, select

from ..records import HistoryQuery, LeaseRecord
from .tables import decode_vid, leases


def read_history(connection: Connection, query: HistoryQuery) -> list[LeaseRecord]:
    """The leases that `query` asks for, the newest first."""
    # A row without an AppID is an abandoned request, not a lease.
    statement = select(leases).where(leases.c.appid.is_not(None))
    if query.product is not None:
        statement = statement.where(leases.c.product == query.product)
    if query.appid is not None:
        statement = statement.where(leases.c.appid == query.appid)
    if query.since is not None:
        statement = statement.where(leases.c.start >= query.since)
    statement = statement.order_by(leases.c.start.desc(), leases.c.id.desc()).limit(query.limit)
    return [
        LeaseRecord(
            row.lease_id,
            row.appid,
            decode_vid(row.vid),
            row.product,
            row.holder,
            row.start,
            row.stop,
            row.ended,
            row.expires,
            row.fence,
        )
        for row in connection.execute(statement)
    ]

"""The history of leases: who had which AppID when. Changes nothing."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, select

from ..operations import HistoryQuery
from .tables import leases


def read_history(connection: Connection, query: HistoryQuery) -> list[dict[str, Any]]:
    """Leases, the newest first. One that lives has neither `stoptime` nor `ended`."""
    statement = select(leases).where(leases.c.appid.is_not(None))
    if query.product is not None:
        statement = statement.where(leases.c.product == query.product)
    if query.appid is not None:
        statement = statement.where(leases.c.appid == query.appid)
    if query.since is not None:
        statement = statement.where(leases.c.start >= query.since)
    statement = statement.order_by(leases.c.start.desc(), leases.c.id.desc()).limit(query.limit)
    return [
        {
            "leaseId": row.lease_id,
            "appid": row.appid,
            "vid": json.loads(row.vid),
            "productName": row.product,
            "holder": row.holder,
            "starttime": row.start,
            "stoptime": row.stop,
            "ended": row.ended,
            "expiresAt": row.expires,
        }
        for row in connection.execute(statement)
    ]

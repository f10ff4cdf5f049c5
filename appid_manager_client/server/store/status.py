"""What can be looked at: the status of AppIDs and the history of leases. Changes nothing."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, and_, func, select

from ..hours import Hours
from .tables import NEVER, appids, leases


def read_status(
    connection: Connection, hours: Hours, now: int, product: str | None, details: bool
) -> dict[str, Any]:
    """The body of a status. What can be handed out now counts as available, whenever it was used before."""
    hour = hours.at(now)
    mine = [] if product is None else [appids.c.product == product]
    free = and_(appids.c.held.is_(False), appids.c.last_stop < hour.start)
    total, available = connection.execute(
        select(func.count(), func.count().filter(free)).select_from(appids).where(*mine)
    ).one()
    body: dict[str, Any] = {
        "total": total,
        "available": available,
        "in_use": total - available,
        "released": 0,
    }
    if product is not None:
        body["productName"] = product
    if details:
        query = (
            select(appids, leases.c.holder, leases.c.expires)
            .outerjoin(leases, and_(leases.c.appid == appids.c.appid, leases.c.stop.is_(None)))
            .where(*mine)
            .order_by(appids.c.product, appids.c.position, appids.c.id)
        )
        body["appids"] = [_entry(row, hours, hour.start) for row in connection.execute(query)]
    return body


def _entry(row: Any, hours: Hours, current_hour: int) -> dict[str, Any]:
    stop = None if row.held or row.last_stop == NEVER else row.last_stop
    is_available = not row.held and row.last_stop < current_hour
    if row.held:
        status = "in_use"
    else:
        status = "available" if is_available else "used_in_current_hour"
    entry = {
        "appid": row.appid,
        "vid": json.loads(row.vid),
        "productName": row.product,
        "starttime": row.last_start,
        "stoptime": stop,
        "status": status,
        "is_available": is_available,
        "stoptime_hour": None if stop is None else hours.at(stop).start,
        "current_hour": current_hour,
    }
    if row.held:
        entry["holder"] = row.holder
        entry["expiresAt"] = row.expires
    return entry

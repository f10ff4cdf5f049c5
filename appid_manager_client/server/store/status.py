"""The status: how many AppIDs there are, and what each one is doing now. Changes nothing."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, func, select

from ..hours import Hours
from ..operations import AppIdEntry, AppIdState, Status, StatusQuery
from .tables import NEVER, appids, decode_vid, leases


def read_status(connection: Connection, hours: Hours, now: int, query: StatusQuery) -> Status:
    """The AppIDs that `query` asks for. Available is what a plain acquire could get now."""
    hour_start = hours.at(now).start
    wanted = [] if query.product is None else [appids.c.product == query.product]
    available = and_(appids.c.held.is_(False), appids.c.last_stop < hour_start)
    total, number_available = connection.execute(
        select(func.count(), func.count().filter(available)).select_from(appids).where(*wanted)
    ).one()
    entries = _entries(connection, hours, hour_start, wanted) if query.details else None
    return Status(query.product, total, number_available, hour_start, entries)


_ENTRIES = (
    select(
        appids.c.appid,
        appids.c.vid,
        appids.c.product,
        appids.c.held,
        appids.c.last_start,
        appids.c.last_stop,
        appids.c.fence,
        leases.c.holder,
        leases.c.expires,
    )
    .outerjoin(leases, and_(leases.c.appid == appids.c.appid, leases.c.stop.is_(None)))
    .order_by(appids.c.product, appids.c.position, appids.c.id)
)


def _entries(
    connection: Connection, hours: Hours, hour_start: int, wanted: list[ColumnElement[bool]]
) -> list[AppIdEntry]:
    found: list[AppIdEntry] = []
    for appid, vid, product, held, start, last_stop, fence, holder, expires in connection.execute(
        _ENTRIES.where(*wanted)
    ):
        state: AppIdState
        if held:
            state = "in_use"
        else:
            state = "available" if last_stop < hour_start else "used_in_current_hour"
        stop = None if held or last_stop == NEVER else last_stop
        stop_hour = None if stop is None else hours.at(stop).start
        found.append(
            AppIdEntry(
                appid,
                decode_vid(vid),
                product,
                state,
                start,
                stop,
                stop_hour,
                holder,
                expires,
                # One that was added again starts with a fence that it was never granted with.
                None if start is None else fence or None,
            )
        )
    return found

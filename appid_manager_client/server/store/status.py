"""The status: how many AppIDs there are, and what each is doing now. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from ..hours import Hours
from ..operations import AppIdState
from ..records import AppIdEntry, PauseRecord, ProductCounts, Products, Status, StatusQuery
from .tables import NEVER, appids, decode_vid, leases, pauses
from .waiters import count_waiters


def read_status(connection: Connection, hours: Hours, now: int, query: StatusQuery) -> Status:
    """The AppIDs that `query` asks for. Available is what a plain acquire could get now."""
    hour_start = hours.at(now).start
    wanted = [] if query.product is None else [appids.c.product == query.product]
    total = available = following = entries = None
    if query.after is None:
        total, available = connection.execute(
            select(func.count(), _available(hour_start)).select_from(appids).where(*wanted)
        ).one()
    if query.details:
        wanted += _narrowed(query, hour_start)
        rows, following = _rows(connection, wanted, query)
        entries = [_entry(row, hours, hour_start) for row in rows]
    paused = None if query.product is None else _pauses(connection).get(query.product)
    return Status(query.product, total, available, hour_start, entries, following, paused)


def _narrowed(query: StatusQuery, hour_start: int) -> list[ColumnElement[bool]]:
    """The conditions of the AppIDs that are listed, beside their product."""
    found: list[ColumnElement[bool]] = []
    if query.text is not None:
        found.append(
            or_(
                appids.c.appid.icontains(query.text, autoescape=True),
                leases.c.holder.icontains(query.text, autoescape=True),
            )
        )
    if query.state is not None:
        in_use, reserved = leases.c.id.is_not(None), appids.c.reserved
        used = appids.c.last_stop >= hour_start
        states: dict[AppIdState, list[ColumnElement[bool]]] = {
            "in_use": [in_use],
            "reserved": [~in_use, reserved],
            "available": [~in_use, ~reserved, ~used],
            "used_in_current_hour": [~in_use, ~reserved, used],
        }
        found += states[query.state]
    return found


def _pauses(connection: Connection) -> dict[str, PauseRecord]:
    return {
        row.product: PauseRecord(row.since, row.note) for row in connection.execute(select(pauses))
    }


def read_products(
    connection: Connection, hours: Hours, now: int, product: str | None = None
) -> Products:
    """How many AppIDs each product has, or the one, and when the next one can be available."""
    hour = hours.at(now)
    not_held = appids.c.held.is_(False)
    used_until = func.min(appids.c.last_stop).filter(not_held)
    in_use_now = and_(appids.c.held, appids.c.reserved.is_(False))
    in_use = func.count().filter(in_use_now)
    reserved = func.count().filter(appids.c.reserved)
    begun_before = appids.c.last_start < hour.start
    over_the_turn = or_(appids.c.last_stop >= hour.start, in_use_now)
    carried = func.count().filter(begun_before, over_the_turn)
    counts = select(
        *(appids.c.product, func.count(), _available(hour.start)),
        *(used_until, in_use, reserved, carried),
    ).group_by(appids.c.product)
    if product is not None:
        counts = counts.where(appids.c.product == product)
    waiting = count_waiters(connection, hours, now)
    paused = _pauses(connection)
    found: list[ProductCounts] = []
    for row in connection.execute(counts.order_by(appids.c.product)):
        name, total, available, earliest, number_in_use, number_reserved, number_carried = row
        turns = [hour.end] if number_in_use else []
        if earliest is not None:
            # Later than this hour only if the clock was ahead when it was released.
            turns.append(hours.at(earliest).end)
        next_one = None if available else min(turns, default=None)
        found.append(
            ProductCounts(
                name,
                total,
                available,
                number_in_use,
                number_reserved,
                waiting.get(name, 0),
                next_one,
                paused.get(name),
                number_carried,
            )
        )
    return Products(found, now, hour.end)


def _available(hour_start: int) -> ColumnElement[int]:
    """The number of AppIDs that a plain acquire could get now."""
    return func.count().filter(appids.c.held.is_(False), appids.c.last_stop < hour_start)


_ENTRIES = select(
    appids.c.id,
    appids.c.appid,
    appids.c.vid,
    appids.c.product,
    appids.c.reserved,
    appids.c.note,
    appids.c.last_start,
    appids.c.last_stop,
    appids.c.fence,
    leases.c.id.label("lease"),
    leases.c.holder,
    leases.c.expires,
    leases.c.lease_id,
    leases.c.ttl,
).outerjoin(leases, and_(leases.c.appid == appids.c.appid, leases.c.stop.is_(None)))


def _rows(
    connection: Connection, wanted: list[ColumnElement[bool]], query: StatusQuery
) -> tuple[Sequence[Any], int | None]:
    """The rows of a status or of one page of it, and what the next page comes after."""
    statement = _ENTRIES.where(*wanted)
    if query.limit is None:
        in_order = statement.order_by(appids.c.product, appids.c.position, appids.c.id)
        return connection.execute(in_order).all(), None
    page = statement.where(appids.c.id > (query.after or 0)).order_by(appids.c.id)
    rows = connection.execute(page.limit(query.limit + 1)).all()
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    return rows, rows[-1].id if more else None


def _entry(row: Any, hours: Hours, hour_start: int) -> AppIdEntry:
    # Unpacked, as there can be a hundred thousand: each look by name costs time.
    _, appid, vid, product, reserved, note, start, last_stop, fence, *of_lease = row
    lease, holder, expires, lease_id, ttl = of_lease
    state: AppIdState
    if lease is not None:
        state = "in_use"
    elif reserved:
        state = "reserved"
    else:
        state = "available" if last_stop < hour_start else "used_in_current_hour"
    stop = None if state == "in_use" or last_stop == NEVER else last_stop
    return AppIdEntry(
        appid,
        decode_vid(vid),
        product,
        state,
        start,
        stop,
        None if stop is None else hours.at(stop).start,
        holder,
        expires,
        # One that was added again starts with a fence that it was never granted with.
        None if start is None else fence or None,
        reserved,
        note,
        lease_id,
        ttl,
    )

"""Who waits in line, for people: counts and places. Changes nothing."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from ..hours import Hours
from ..line import counted_since
from ..records import Line, LineQuery, Waiter
from .tables import appids, line


def count_waiters(connection: Connection, hours: Hours, now: int) -> dict[str, int]:
    """How many wait for each product that somebody waits for."""
    counts = (
        select(line.c.product, func.count())
        .where(line.c.heard >= counted_since(hours.at(now)))
        .group_by(line.c.product)
    )
    return {product: count for product, count in connection.execute(counts)}


def read_line(connection: Connection, hours: Hours, now: int, query: LineQuery) -> Line:
    """The waiters that `query` asks for, in the order of the line."""
    hour = hours.at(now)
    counted = (line.c.product == query.product, line.c.heard >= counted_since(hour))
    place = func.row_number().over(order_by=line.c.no).label("place")
    ranked = (
        select(
            place,
            line.c.holder,
            line.c.since,
            line.c.heard,
            line.c.forced,
        )
        .where(*counted)
        .subquery()
    )
    rows = connection.execute(
        select(ranked)
        .where(ranked.c.place > query.after)
        .order_by(ranked.c.place)
        .limit(query.limit + 1)
    ).all()
    waiting = connection.execute(
        select(func.count()).select_from(line).where(*counted)
    ).scalar_one()
    total = connection.execute(
        select(func.count()).select_from(appids).where(appids.c.product == query.product)
    ).scalar_one()
    waiters = [
        Waiter(row.place, row.holder, row.since, row.heard, bool(row.forced), row.place <= total)
        for row in rows[: query.limit]
    ]
    following = waiters[-1].place if len(rows) > query.limit else None
    return Line(query.product, waiters, waiting, now, hour.end, following)

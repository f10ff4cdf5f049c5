"""The history: who had which AppID when, and what operators did. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, or_, select, tuple_

from ..records import History, HistoryQuery, LeaseRecord, Use
from .acts import read_acts
from .tables import decode_vid, leases


def read_history(connection: Connection, now: int, query: HistoryQuery) -> History:
    """What `query` asks for, at the time `now`."""
    return History(_read_leases(connection, query), read_acts(connection, query), now)


def _read_leases(connection: Connection, query: HistoryQuery) -> list[LeaseRecord]:
    # A row without an AppID is an abandoned request, not a lease.
    statement = select(leases).where(leases.c.appid.is_not(None))
    if query.product is not None:
        statement = statement.where(leases.c.product == query.product)
    if query.appid is not None:
        statement = statement.where(leases.c.appid == query.appid)
    if query.since is not None:
        statement = statement.where(leases.c.start >= query.since)
    if query.before is not None:
        statement = statement.where(leases.c.start < query.before)
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
            row.token,
            row.ended_by,
        )
        for row in connection.execute(statement)
    ]


def count_rows(connection: Connection) -> int:
    """About how many rows the history has: so many from the oldest to the newest one.

    To count a million of them takes longer than a scrape should.
    """
    first, last = connection.execute(select(func.min(leases.c.id), func.max(leases.c.id))).one()
    return 0 if first is None else last - first + 1


def read_uses(connection: Connection, names: Sequence[str], since: int) -> list[Use]:
    """When these AppIDs were in use since a time, also if that began before."""
    of_these = leases.c.appid.in_(names)
    before = (
        select(leases.c.appid, func.max(leases.c.start))
        .where(of_these, leases.c.start < since)
        .group_by(leases.c.appid)
    )
    begun_before = tuple_(leases.c.appid, leases.c.start).in_(before)
    statement = (
        select(leases.c.appid, leases.c.start, leases.c.stop, leases.c.ended)
        .where(of_these, or_(leases.c.start >= since, begun_before))
        .where(or_(leases.c.stop.is_(None), leases.c.stop >= since))
    )
    return [Use(*row) for row in connection.execute(statement)]

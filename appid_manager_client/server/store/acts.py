"""What operators did: releases by force, reserved AppIDs, pauses, and inits. For the history."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Connection, insert, select

from ..operations import By
from ..records import Act, ActKind, HistoryQuery
from .tables import acts
from .transaction import Transaction

_ADD = insert(acts)


def note_act(
    transaction: Transaction,
    kind: ActKind,
    product: str,
    by: By,
    *,
    appid: str | None = None,
    lease_id: str | None = None,
    note: str | None = None,
) -> None:
    """Note an act in the transaction that carries it out; `note` in place of that of `by`."""
    row = {
        "at": transaction.now,
        "act": kind,
        "product": product,
        "appid": appid,
        "lease_id": lease_id,
        "token": by.token,
        "said_by": by.said,
        "note": note or by.note,
    }
    transaction.connection.execute(_ADD, row)


def read_acts(connection: Connection, query: HistoryQuery) -> list[Act]:
    """The acts that `query` asks for, the newest first."""
    statement = select(acts)
    if query.product is not None:
        statement = statement.where(acts.c.product == query.product)
    if query.appid is not None:
        statement = statement.where(acts.c.appid == query.appid)
    if query.since is not None:
        statement = statement.where(acts.c.at >= query.since)
    if query.before is not None:
        statement = statement.where(acts.c.at < query.before)
    statement = statement.order_by(acts.c.at.desc(), acts.c.id.desc()).limit(query.limit)
    return [_act(row) for row in connection.execute(statement)]


def _act(row: Any) -> Act:
    return Act(
        row.at,
        cast(ActKind, row.act),
        row.product,
        row.appid,
        row.lease_id,
        row.token,
        row.said_by,
        row.note,
    )

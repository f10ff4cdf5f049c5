"""The rows of the line, and what nobody holds: read and written, without deciding anything."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, literal, select, update

from ..line import BELIEVED_MS, Interval, Places, Stock, Ticket, counted_since
from ..operations import Acquire
from .hot import Hot
from .tables import appids, line
from .transaction import Transaction, chunks


@dataclass(frozen=True, slots=True)
class Named:
    """The rows that the acquires of a batch name, by their requests and by their tickets."""

    by_request: Mapping[str, Any]
    by_ticket: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a place holds from now on: its last request, and when its holder counts as present."""

    operation: Acquire
    heard: int
    present: Interval | None

    def columns(self) -> dict[str, Any]:
        """The columns of the row."""
        start, end = self.present or (0, 0)
        return {
            "request_id": self.operation.request_id,
            "forced": self.operation.force,
            "holder": self.operation.holder,
            "heard": self.heard,
            "present_from": start,
            "present_until": end,
        }


_ROWS = select(
    line.c.no,
    line.c.ticket,
    line.c.product,
    line.c.request_id,
    line.c.forced,
    line.c.heard,
    line.c.present_from,
    line.c.present_until,
)
_BY_REQUEST = _ROWS.where(line.c.request_id.in_(bindparam("values", expanding=True)))
_BY_TICKET = _ROWS.where(line.c.ticket.in_(bindparam("values", expanding=True)))


def find_named(transaction: Transaction, operations: Sequence[Acquire]) -> Named:
    """The rows that these acquires name, of whatever product."""
    if not transaction.waiting:
        return Named({}, {})
    execute = transaction.connection.execute
    request_ids = [op.request_id for op in operations if op.request_id is not None]
    tickets = [op.ticket for op in operations if op.ticket is not None]
    by_request = {
        row.request_id: row
        for values in chunks(request_ids)
        for row in execute(_BY_REQUEST, {"values": values})
    }
    by_ticket = {
        row.ticket: row
        for values in chunks(tickets)
        for row in execute(_BY_TICKET, {"values": values})
    }
    return Named(by_request, by_ticket)


_PRESENT = Hot(
    _ROWS.where(line.c.product == bindparam("of_product"))
    .where(line.c.present_until > bindparam("now"), line.c.present_from <= bindparam("now"))
    .where(line.c.present_until <= bindparam("believed"))
)


def find_present(transaction: Transaction, product: str) -> list[Any]:
    """The rows of those who are present now."""
    if not transaction.waiting:
        return []
    now = transaction.now
    return _PRESENT.all(
        transaction.connection, of_product=product, now=now, believed=now + BELIEVED_MS
    )


_ALL = _ROWS.order_by(line.c.no)


def read_all(connection: Connection) -> Iterable[Any]:
    """All rows, in the order of the line."""
    return connection.execute(_ALL)


def as_ticket(row: Any) -> Ticket:
    """A row as the rule takes it."""
    present = Interval(row.present_from, row.present_until) if row.present_until else None
    return Ticket(row.no, bool(row.forced), present, row.heard)


_REMOVE = delete(line).where(line.c.no.in_(bindparam("numbers", expanding=True)))


def remove_rows(connection: Connection, numbers: Iterable[int]) -> None:
    """Delete places: they were used up, or given up."""
    for some in chunks(numbers):
        connection.execute(_REMOVE, {"numbers": some})


def remove_named(
    connection: Connection,
    product: str,
    *,
    ticket: str | None = None,
    request_id: str | None = None,
) -> None:
    """Delete the place of a product that has this ticket, or that this request came with."""
    where = line.c.request_id == request_id if ticket is None else line.c.ticket == ticket
    connection.execute(delete(line).where(line.c.product == product, where))


_FORGET = delete(line).where(line.c.heard < bindparam("before"))


def forget_rows(connection: Connection, before: int) -> None:
    """Delete the places of those who were heard of last before a time."""
    connection.execute(_FORGET, {"before": before})


_CHANGE = Hot(
    update(line).where(line.c.no == bindparam("number")),
    columns=["request_id", "forced", "holder", "heard", "present_from", "present_until"],
)


def change_rows(connection: Connection, changed: Sequence[tuple[Any, Kept]]) -> None:
    """Write down what these rows hold from now on."""
    if changed:
        rows = [{**kept.columns(), "number": row.no} for row, kept in changed]
        _CHANGE.many(connection, rows)


_SET_PRESENT = Hot(
    update(line)
    .where(line.c.no == bindparam("number"))
    .values(present_from=bindparam("start"), present_until=bindparam("end"))
)


def set_present(connection: Connection, presences: Mapping[int, Interval]) -> None:
    """Set when the places of these numbers count as present."""
    if presences:
        rows = [
            {"number": number, "start": present.start, "end": present.end}
            for number, present in presences.items()
        ]
        _SET_PRESENT.many(connection, rows)


_DRAW = insert(line).returning(line.c.no, line.c.ticket, line.c.request_id)


def draw_tickets(connection: Connection, product: str, drawn: Sequence[Kept]) -> dict[str, Any]:
    """Add places at the end. Returns their rows (number, ticket), by their requests."""
    if not drawn:
        return {}
    rows = [
        {
            **kept.columns(),
            "ticket": secrets.token_hex(16),
            "product": product,
            "since": kept.heard,
            "token": kept.operation.token,
        }
        for kept in drawn
    ]
    return {row.request_id: row for row in connection.execute(_DRAW, rows)}


_COUNT = Hot(
    select(func.count().label("count"))
    .select_from(line)
    .where(line.c.product == bindparam("of_product"))
    .where(func.coalesce(line.c.token, "") == bindparam("of_token"))
)


def count_tickets(transaction: Transaction, product: str, token: str | None) -> int:
    """How many places of a token there are, those of the dead included."""
    if not transaction.waiting:
        return 0
    found = _COUNT.all(transaction.connection, of_product=product, of_token=token or "")
    return int(found[0].count)


_HEARD = Hot(
    select(line.c.no)
    .where(line.c.product == bindparam("of_product"), line.c.heard >= bindparam("since"))
    .order_by(line.c.no)
)


def rank(transaction: Transaction, product: str) -> Places:
    """The places of all who wait for a product."""
    connection = transaction.connection
    since = counted_since(transaction.hour)
    numbers = [row.no for row in _HEARD.all(connection, of_product=product, since=since)]
    total = _TOTAL.all(connection, of_product=product, most=len(numbers) + 1)[0].count
    return Places(numbers, total)


def _count_up_to(*conditions: Any) -> Hot:
    """Counts the AppIDs of a product that fulfil all `conditions`, up to `most` of them."""
    some = (
        select(literal(1).label("one"))
        .select_from(appids)
        .where(appids.c.product == bindparam("of_product"), *conditions)
        .limit(bindparam("most"))
    )
    return Hot(select(func.count().label("count")).select_from(some.subquery()))


_not_held = appids.c.held.is_(False)
_TOTAL = _count_up_to()
_FREE = _count_up_to(_not_held, appids.c.last_stop < bindparam("start"))
_USED = _count_up_to(_not_held, appids.c.last_stop >= bindparam("start"))


def read_stock(transaction: Transaction, product: str, most: int) -> Stock:
    """What may be granted of a product, counted up to `most` of each kind."""
    if product in transaction.paused:
        return Stock(0, 0)
    values = {"of_product": product, "start": transaction.hour.start, "most": most}
    free, used = (one.all(transaction.connection, **values)[0].count for one in (_FREE, _USED))
    return Stock(free, used)

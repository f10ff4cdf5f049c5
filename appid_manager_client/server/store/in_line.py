"""Acquires that the line has a say in: tickets, who is present, and who is granted.

All that happens to the line of a product happens under its lock, in the transaction that grants.
The rule by which somebody is granted stands in `server.line`, the statements in `line_rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..line import (
    Grantee,
    Request,
    Reservations,
    Stock,
    Ticket,
    available_at,
    check_in,
    choose,
    grace,
    presence_of_held,
)
from ..operations import (
    Abandon,
    Acquire,
    Exhausted,
    InLine,
    Leave,
    Operation,
    Outcome,
    Refused,
    Released,
    Unavailable,
)
from .contract import DoAgain
from .granting import ALWAYS, find_next, grant, locked_by_others, unknown_product
from .line_rows import (
    Kept,
    Named,
    as_ticket,
    change_rows,
    count_tickets,
    draw_tickets,
    find_named,
    find_present,
    rank,
    read_stock,
    remove_named,
    remove_rows,
)
from .tables import NEVER
from .transaction import Transaction

MOST_TICKETS = 10_000
"""How many tickets there may be of a token for a product."""


def serve(
    transaction: Transaction, operations: Sequence[Acquire], outcomes: dict[Operation, Outcome]
) -> list[Acquire]:
    """Carry out the acquires that the line has a say in, and return all others.

    Raises:
        DoAgain: the line has to be locked for that.
    """
    if not transaction.waiting and not any(map(_concerns_line, operations)):
        return list(operations)
    groups: dict[str, list[Acquire]] = {}
    for operation in operations:
        refused = _refusal(transaction, operation)
        if refused is None:
            groups.setdefault(operation.product, []).append(operation)
        else:
            outcomes[operation] = refused
    named = find_named(transaction, operations)
    others: list[Acquire] = []
    for product, group in sorted(groups.items()):
        one = _Line(transaction, product, group, named, outcomes)
        if one.has_a_say():
            one.serve()
        else:
            others += one.group
    return others


def leave(
    transaction: Transaction,
    operations: Iterable[Leave | Abandon],
    outcomes: dict[Operation, Outcome],
) -> None:
    """Take who leaves out of the line; `release` has the outcome of an `Abandon`."""
    connection = transaction.connection
    for operation in operations:
        if isinstance(operation, Leave):
            outcomes[operation] = Released(operation.product, None, transaction.now)
            if transaction.waiting:
                remove_named(connection, operation.product, ticket=operation.ticket)
        elif transaction.waiting:
            remove_named(connection, operation.product, request_id=operation.request_id)


def _concerns_line(operation: Acquire) -> bool:
    return (
        operation.hold_until is not None
        or operation.ticket is not None
        or operation.not_before is not None
        or operation.min_remaining_ms > 0
    )


def _refusal(transaction: Transaction, operation: Acquire) -> Refused | None:
    hour = transaction.hour
    if operation.not_before is not None and operation.not_before > hour.end:
        return _invalid("notBefore", f"must not be later than the end of this hour, {hour.end}")
    if operation.min_remaining_ms and operation.min_remaining_ms >= hour.end - hour.start:
        seconds = (hour.end - hour.start) / 1000
        return _invalid("minRemaining", f"must be less than an hour, which has {seconds:g} seconds")
    return None


def _invalid(field: str, problem: str) -> Refused:
    return Refused("invalid_request", f"{field}: {problem}", field)


class _Line:
    """The line of one product, for the acquires of one batch.

    Attributes:
        group: the acquires, without those that were refused.
    """

    def __init__(
        self,
        transaction: Transaction,
        product: str,
        group: Sequence[Acquire],
        named: Named,
        outcomes: dict[Operation, Outcome],
    ) -> None:
        self._transaction = transaction
        self._product = product
        self._outcomes = outcomes
        self.group: list[Acquire] = []
        # The rows of those who are present, and of the acquires that have a place.
        self._rows: dict[int, Any] = {}
        self._row_of: dict[Acquire, Any] = {}
        # Places that a request drew which came with another one's ticket since.
        self._given_up: list[int] = []
        for operation in group:
            self._enter(operation, named)
        self._rows |= {row.no: row for row in find_present(transaction, product)}

    def _enter(self, operation: Acquire, named: Named) -> None:
        """Find the place of one acquire: that of its ticket, or else that of its request."""
        own = named.by_request.get(operation.request_id or "")
        row = named.by_ticket.get(operation.ticket or "", own)
        for one, field in ((own, "requestId"), (row, "ticket")):
            if one is not None and one.product != self._product:
                self._outcomes[operation] = _invalid(
                    field, f"it is in line for the product {one.product!r}"
                )
                return
        self.group.append(operation)
        if own is not None and own.no != row.no:
            self._given_up.append(own.no)
        # Of several requests of a batch that come with one ticket, the first one has the place.
        if row is not None and row.no not in self._rows:
            self._rows[row.no] = row
            self._row_of[operation] = row

    def has_a_say(self) -> bool:
        """Whether the acquires can't be carried out as if there were no line."""
        return bool(self._rows) or any(map(_concerns_line, self.group))

    def serve(self) -> None:
        """Carry out the acquires."""
        self._require_lock()
        transaction = self._transaction
        tickets = {row.no: as_ticket(row) for row in self._rows.values()}
        requests = [self._request(operation) for operation in self.group]
        stock = read_stock(transaction, self._product, len(tickets) + len(requests))
        chosen = choose(requests, tickets.values(), stock, transaction.now, transaction.hour)
        self._grant(chosen)
        for one in chosen:
            number = requests[one.request].ticket
            if number is not None:
                del tickets[number]
                self._given_up.append(number)
            stock = stock.less_one(used=one.used)
        remove_rows(transaction.connection, self._given_up)
        granted = {one.request for one in chosen}
        losers = [pair for n, pair in enumerate(zip(self.group, requests)) if n not in granted]
        if not losers:
            return
        refused = unknown_product(transaction, self._product)
        if refused is None:
            self._turn_down(losers, tickets, stock)
        else:
            self._outcomes.update((operation, refused) for operation, _ in losers)

    def _require_lock(self) -> None:
        lines = self._transaction.lines
        if lines is not None and self._product not in lines:
            raise DoAgain(
                Unavailable("locked", "others change the line of this product at this moment"),
                lines=frozenset({self._product}),
            )

    def _request(self, operation: Acquire) -> Request:
        row = self._row_of.get(operation)
        return Request(
            None if row is None else row.no,
            operation.force,
            operation.not_before or 0,
            operation.min_remaining_ms,
        )

    def _grant(self, chosen: Sequence[Grantee]) -> None:
        start = self._transaction.hour.start
        free = [self.group[one.request] for one in chosen if not one.used]
        used = [self.group[one.request] for one in chosen if one.used]
        for group, since, before in ((free, NEVER, start), (used, start, ALWAYS)):
            if group and grant(
                self._transaction,
                {self._product: group},
                self._outcomes,
                since=since,
                before=before,
            ):
                raise locked_by_others(self._product, before, len(group))

    def _turn_down(
        self,
        losers: Sequence[tuple[Acquire, Request]],
        tickets: Mapping[int, Ticket],
        stock: Stock,
    ) -> None:
        """Give the losers a place, or keep theirs, and tell each when to come back."""
        transaction = self._transaction
        now, hour = transaction.now, transaction.hour
        paused = self._product in transaction.paused
        reason, free_at = find_next(transaction, self._product)
        if paused:
            reason, free_at = "waiting", hour.end
        reservations = Reservations(tickets.values(), now)
        available = {
            operation: available_at(request, reservations, stock, now, hour, free_at)
            for operation, request in losers
        }
        rows = self._write_down(available)
        places = rank(transaction, self._product) if rows else None
        for operation, moment in available.items():
            if operation in self._outcomes:  # there was no room for it
                continue
            line, row = None, rows.get(operation)
            if row is not None and places is not None:
                place, waiting, due = places.of(row.no)
                line = InLine(row.ticket, row.no, place, waiting, due, check_in(moment, hour))
            self._outcomes[operation] = Exhausted(
                reason, self._product, moment, now, hour.end, line, paused
            )

    def _write_down(self, available: Mapping[Acquire, int]) -> dict[Acquire, Any]:
        """Write down the places of those who wait. Returns the rows of all who have one."""
        connection = self._transaction.connection
        changed: list[tuple[Any, Kept]] = []
        drawn: list[Kept] = []
        for operation, moment in available.items():
            if operation.hold_until is not None:
                row = self._row_of.get(operation)
                kept = self._keep(operation, operation.hold_until, row, moment)
                if row is None:
                    drawn.append(kept)
                else:
                    changed.append((row, kept))
        change_rows(connection, changed)
        drawn = self._within_bound(drawn)
        new = draw_tickets(connection, self._product, drawn)
        rows = {kept.operation: new[str(kept.operation.request_id)] for kept in drawn}
        return rows | {op: row for op, row in self._row_of.items() if op in available}

    def _within_bound(self, drawn: Sequence[Kept]) -> list[Kept]:
        """Those of the new places for which there is room; the others are refused."""
        room: dict[str | None, int] = {}
        found: list[Kept] = []
        for kept in drawn:
            token = kept.operation.token
            if token not in room:
                room[token] = MOST_TICKETS - count_tickets(self._transaction, self._product, token)
            if room[token] > 0:
                room[token] -= 1
                found.append(kept)
            else:
                self._outcomes[kept.operation] = _too_many(self._product)
        return found

    def _keep(self, operation: Acquire, hold_until: int, row: Any, available: int) -> Kept:
        """What the place of a waiter holds from now on."""
        now = self._transaction.now
        present = None if row is None else as_ticket(row).present
        if hold_until > now:
            ticket = Ticket(0 if row is None else row.no, operation.force, present, now)
            present = presence_of_held(
                ticket, now, hold_until, available, grace(self._transaction.hour)
            )
        return Kept(operation, now, present)


def _too_many(product: str) -> Refused:
    return Refused(
        "too_many_waiting",
        f"{MOST_TICKETS} wait in line for product {product!r} already: come back later",
    )

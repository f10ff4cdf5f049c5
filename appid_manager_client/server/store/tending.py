"""Looking after the line: the gap in which nobody could be held, and tickets of those who are gone.

A gap is when a service starts, or its looks at the line failed or stood still for longer than the
grace. Whoever waits may have been missed meanwhile, and gets one grace to come back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ..hours import Hours
from ..line import Interval, forgotten_before, grace, presence_after_gap
from ..operations import Tend, Tended
from .line_rows import as_ticket, forget_rows, read_all, read_stock, set_present
from .meta import LINE_GAP_KEY, read_meta, write_meta
from .transaction import Transaction

# More AppIDs than that are not counted where it only matters whether there is something.
_MOST_COUNTED = 1_000


class Tending:
    """What one process remembers of its looks at the line. For one thread.

    Args:
        hours: where the hours begin and end.
        monotonic: a clock in seconds.
    """

    def __init__(self, hours: Hours, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._hours = hours
        self._monotonic = monotonic
        self._looked: float | None = None
        self._forgot_in: int | None = None  # the start of an hour
        self._is_gap = True
        self._forgets = True
        self._began = 0.0

    def begin(self, now: int) -> bool:
        """Begin a look. Returns whether it may change the lines of all products."""
        self._began = self._monotonic()
        self._is_gap = self._looked is None or (self._began - self._looked) * 1000 > grace(
            self._hours.at(now)
        )
        self._forgets = self._hours.at(now).start != self._forgot_in
        return self._is_gap or self._forgets

    def tend(self, transaction: Transaction, operations: Iterable[Tend]) -> Tended:
        """Look at the line. The answer has the stock of all products that were asked for."""
        now = transaction.now
        if transaction.waiting:
            if self._is_gap:
                _fill_gap(transaction)
            if self._forgets and transaction.may_forget:
                before = forgotten_before(now, self._hours)
                forget_rows(transaction.connection, before)
        products = {product for operation in operations for product in operation.products}
        stock = {}
        for product in sorted(products):
            found = read_stock(transaction, product, _MOST_COUNTED)
            stock[product] = (found.free, found.used)
        return Tended(now, transaction.waiting, stock)

    def end(self, now: int) -> None:
        """The look was committed."""
        self._looked = self._began
        self._forgot_in = self._hours.at(now).start


def _fill_gap(transaction: Transaction) -> None:
    """Have everybody count as present for a grace who was heard of since the gap before."""
    connection, now = transaction.connection, transaction.now
    gap_before = int(read_meta(connection).get(LINE_GAP_KEY, "0"))
    presences: dict[int, Interval] = {}
    for row in read_all(connection):
        ticket = as_ticket(row)
        present = presence_after_gap(ticket, now, gap_before, grace(transaction.hour))
        if present is not None and present != ticket.present:
            presences[ticket.number] = present
    set_present(connection, presences)
    write_meta(connection, LINE_GAP_KEY, str(now))

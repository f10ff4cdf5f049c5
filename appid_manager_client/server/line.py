"""The line: who gets an AppID when several wait, and when each comes back. Decides only, no I/O.

A waiter holds its place by a ticket, whose number grows, and counts while it is *present*. Which
tickets there are, and how many AppIDs are free, is the store's to know. All times are in
milliseconds on the service's clock.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .hours import Hour, Hours
from .operations import CheckIn

_LONGEST_GRACE = 2_000
BELIEVED_MS = 60_000
"""A presence that ends later than that was written before the clock was set back."""

_REMEMBERED = 60_000


class Interval(NamedTuple):
    """A time from `start` to just before `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """One place in the line of a product.

    Attributes:
        number: the order of the line.
        forced: whether its last request asked for AppIDs used in this hour, too.
        present: when it counts; `None`: it was never held over a time that matters.
        heard: when its holder asked last.
    """

    number: int
    forced: bool = False
    present: Interval | None = None
    heard: int = 0

    def is_present(self, now: int) -> bool:
        """Whether it counts. An end that is far ahead was written before the clock was set."""
        if self.present is None:
            return False
        return self.present.start <= now < self.present.end <= now + BELIEVED_MS


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a batch that may be granted.

    Attributes:
        ticket: the number of its ticket; `None` if it has none.
        forced: whether AppIDs used in this hour will do.
        not_before: nothing is granted to it earlier.
        min_remaining: how much of the hour must be left.
    """

    ticket: int | None = None
    forced: bool = False
    not_before: int = 0
    min_remaining: int = 0

    def may_have_one(self, now: int, hour: Hour) -> bool:
        """Whether it takes an AppID now, if it can get one."""
        return now >= self.not_before and hour.end - now >= self.min_remaining


class Stock(NamedTuple):
    """AppIDs that nobody holds: those free to all, and those used in this hour."""

    free: int
    used: int = 0

    def for_request(self, *, forced: bool) -> int:
        """How many of them a request can get."""
        return self.free + self.used if forced else self.free

    def less_one(self, *, used: bool) -> Stock:
        """What is left when one was granted that was used in this hour, or one that is free."""
        return Stock(self.free, self.used - 1) if used else Stock(self.free - 1, self.used)


class Grantee(NamedTuple):
    """A request that is granted, by its index; `used`: it gets an AppID used in this hour."""

    request: int
    used: bool


def grace(hour: Hour) -> int:
    """How long AppIDs are kept for those who are present but have not asked yet."""
    return min(_LONGEST_GRACE, (hour.end - hour.start) // 10)


def choose(
    requests: Sequence[Request], tickets: Iterable[Ticket], stock: Stock, now: int, hour: Hour
) -> list[Grantee]:
    """Which of `requests` are granted, in the order in which they are.

    A present waiter is granted if more AppIDs are free to it than waiters with smaller tickets are
    present; any other request if more are free to it than waiters are present. It is a count, and
    nothing is assigned, so several processes need only agree on the tickets.

    Args:
        requests: of one product and one batch, in the order in which they came.
        tickets: of that product; those that aren't present may be left out.
        stock: what can be granted.
        now: the time, the same for all of them.
        hour: the hour of `now`.
    """
    present = {one.number: one.forced for one in tickets if one.is_present(now)}
    numbers = sorted(present)
    plain = [number for number in numbers if not present[number]]
    granted: list[Grantee] = []
    for index in _in_order(requests, present):
        request = requests[index]
        if not request.may_have_one(now, hour):
            continue
        number = request.ticket
        counts = number is not None and number in present
        before = bisect_left(numbers, number) if number is not None and counts else len(numbers)
        if stock.for_request(forced=request.forced) <= before:
            continue
        # A forced one leaves to plain waiters before it what they can have.
        plain_before = bool(plain) and (not counts or plain[0] < (number or 0))
        used = request.forced and stock.used > 0 and (plain_before or not stock.free)
        stock = stock.less_one(used=used)
        granted.append(Grantee(index, used))
        if number is not None and counts:
            numbers.remove(number)
            if not present[number]:
                plain.remove(number)
    return granted


def _in_order(requests: Sequence[Request], present: Mapping[int, bool]) -> list[int]:
    """The present by their tickets, then who is late by theirs, then those without a ticket."""

    def place(index: int) -> tuple[int, int]:
        number = requests[index].ticket
        if number is None:
            return 2, index
        return 0 if number in present else 1, number

    return sorted(range(len(requests)), key=place)


class Reservations:
    """Until when AppIDs are kept for those who are present."""

    def __init__(self, tickets: Iterable[Ticket], now: int) -> None:
        ends = [
            (one.present.end, one.number)
            for one in tickets
            if one.present is not None and one.is_present(now)
        ]
        self._first = heapq.nsmallest(2, ends)
        self._now = now

    def first_end(self, *, but: int | None) -> int:
        """The earliest end, leaving out one ticket; now, if there is none."""
        return next((end for end, number in self._first if number != but), self._now)


def available_at(
    request: Request, kept: Reservations, stock: Stock, now: int, hour: Hour, free_at: int
) -> int:
    """When a request that got nothing can get one: the time that its wait is about.

    Args:
        request: it got nothing at `now`.
        kept: what is kept for others, as it is after the batch.
        stock: what the batch left.
        now: the time.
        hour: the hour of `now`.
        free_at: when the next AppID becomes free to all; the end of an hour.
    """
    if hour.end - now < request.min_remaining:
        return max(hour.end, request.not_before)
    if request.forced:
        return max(now, request.not_before)
    when = kept.first_end(but=request.ticket) if stock.free else free_at
    return max(when, request.not_before)


def presence_of_held(
    ticket: Ticket, now: int, held_until: int, available: int, grace_ms: int
) -> Interval | None:
    """When a waiter counts that got nothing and whose request is held.

    Args:
        ticket: its place.
        now: the time.
        held_until: when its request is answered at the latest.
        available: what `available_at` returned for it.
        grace_ms: what `grace` returned.
    """
    if ticket.forced:
        return _joined(ticket.present, Interval(now, now + grace_ms), now)
    if held_until <= available:
        return ticket.present  # it is not there when it matters
    wanted = Interval(available, available + grace_ms)
    return _joined(ticket.present, wanted, now)


def presence_after_gap(ticket: Ticket, now: int, gap_before: int, grace_ms: int) -> Interval | None:
    """When a ticket counts after a time in which this service didn't look at the line.

    Its holder can't have asked meanwhile, and gets one grace to come back. That is once: who was
    not heard of since the gap before is taken for dead. A forced waiter is present while held.
    """
    if ticket.forced or ticket.heard < gap_before:
        return ticket.present
    present = ticket.present
    wanted = Interval(now, now + grace_ms)
    if present is not None and wanted.end < present.start and present.end <= now + BELIEVED_MS:
        return present  # what it waits for comes later
    return _joined(present, wanted, now)


def _joined(before: Interval | None, wanted: Interval, now: int) -> Interval:
    """One presence that goes on without a break, if the two touch and the first isn't over."""
    if before is None or before.end <= now or before.end > now + BELIEVED_MS:
        return wanted
    if before.end < wanted.start or wanted.end < before.start:
        return wanted
    return Interval(min(before.start, wanted.start), max(before.end, wanted.end))


def check_in(available: int, hour: Hour) -> CheckIn:
    """When a waiter comes back that waits for `available`."""
    length = hour.end - hour.start
    return CheckIn(
        available - min(15_000, length // 5),
        available - min(1_000, length // 15),
        available + grace(hour) * 6 // 5,
    )


class Place(NamedTuple):
    """Where a waiter stands; `due`: its place is within the number of AppIDs."""

    place: int
    waiting: int
    due: bool


class Places:
    """The places of all waiters of a product, ranked once for a whole batch.

    Args:
        numbers: of the tickets that count, in their order.
        appids: how many AppIDs the product has.
    """

    def __init__(self, numbers: Sequence[int], appids: int) -> None:
        self._numbers = numbers
        self._appids = appids

    def of(self, number: int) -> Place:
        """Where the ticket of this number stands; it may be one that doesn't count yet."""
        before = bisect_left(self._numbers, number)
        known = before < len(self._numbers) and self._numbers[before] == number
        return Place(before + 1, len(self._numbers) + (not known), before < self._appids)


def counted_since(hour: Hour) -> int:
    """Tickets that were heard of since then count where places are ranked."""
    return check_in(hour.start, hour).start


def forgotten_before(now: int, hours: Hours) -> int:
    """Tickets that were heard of last before that are forgotten: over two turns, and a minute."""
    two_turns_ago = hours.at(hours.at(now).start - 1).start
    return min(two_turns_ago, now - _REMEMBERED)

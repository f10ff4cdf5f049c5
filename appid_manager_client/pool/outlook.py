"""What a waiter of a pool can expect: when it can get an AppID, and why not sooner.

A part of the pool's plan: no I/O, and guarded by the plan's lock.
"""

from __future__ import annotations

from typing import NamedTuple

from ..lease.place import in_words
from .demand import Demand
from .hour import HourWindow
from .places import PlacesInLine
from .queue import Waiter
from .slots import Slots


class Expectation(NamedTuple):
    """Why a waiter waits, and the time before which it can't get an AppID; `None` if unknown.

    The time is in seconds since the Unix epoch on the service's clock.
    """

    reason: str
    available_at: float | None


class Outlook:
    """The outlook of one pool's waiters."""

    def __init__(
        self, hour: HourWindow, demand: Demand, slots: Slots, places: PlacesInLine
    ) -> None:
        self._hour = hour
        self._demand = demand
        self._places = places
        self._slots = slots

    def of(self, waiter: Waiter, now: float) -> Expectation:
        """What this waiter can expect. The reason is the same as long as nothing changes."""
        hour, demand = self._hour, self._demand
        until = self.nothing_before(waiter, now)
        if demand.last_error is not None:
            return Expectation(f"the service fails: {demand.last_error}", until)
        if until is None:
            none_left = demand.exhausted_until is not None
            more = "the service has no more of them in this hour" if none_left else "none is idle"
            return Expectation(f"all AppIDs of the pool are checked out, and {more}", None)
        if until == demand.exhausted_until:
            words = in_words(self._places.first)
            return Expectation(f"the service has no AppID left in this hour{words}", until)
        if now >= hour.closes_at:
            return Expectation("the hour is about to turn", until)
        return Expectation("it needs more time than is left of this hour", until)

    def nothing_before(self, waiter: Waiter, now: float) -> float | None:
        """The time before which the waiter can't get an AppID; `None` if it can at any time."""
        hour = self._hour
        if hour.hour_end is None:
            return None
        if now >= hour.closes_at or not waiter.accepts(hour.hour_end, hour.ends_at, now):
            return hour.hour_end
        if self._demand.exhausted_until is not None and self.nothing_comes(now):
            return self._demand.exhausted_until
        return None

    def nothing_comes(self, now: float) -> bool:
        """Whether no AppID is on its way, and none can be given back and used again."""
        return not self._demand.in_flight and not self._slots.any_may_return(now)

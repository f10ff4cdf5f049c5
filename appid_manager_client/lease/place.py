"""A place in line at the service: when to come back, and for how long to be held. Without I/O.

All times of the service are those of its own answers; see "The line" in the wire contract.
"""

from __future__ import annotations

from collections import deque

from ..runtime import forks
from ..runtime.time import SystemTime
from ..wire.clock import ServerClock
from ..wire.models import Place

LONGEST_HOLD = 20.0
"""Seconds for which a service holds a request, at the most; a proxy may cut it before."""

_FORCED_SHARE = 0.3
"""Who waits with force is held for at most that share of an hour at a time."""

LATE_JITTER = 0.25
"""Those who can't be held come within so many seconds after the turn."""

_SOON = (0.05, 0.5)
"""Seconds after which a request near the turn is tried again: from, to."""


class PlaceInLine:
    """The place of one acquire.

    Attributes:
        ticket: what keeps the place; `None`: there is none yet.
        found: the place, as the last answer had it.
        refused: there is no place to be had; see `refuse`.
    """

    def __init__(self, clock: ServerClock, system: SystemTime, ticket: str | None = None) -> None:
        self._clock = clock
        self._system = system
        self.ticket = ticket
        self.found: Place | None = None
        # No time would pass for us while a request is held.
        self.refused = not system.passes_by_itself
        self._come_at = 0.0

    def refuse(self) -> None:
        """Go on as if the service had no line: it has none, or takes nobody more into it."""
        self.refused = True
        self.ticket = self.found = None

    def note(self, found: Place | None, *, early: bool = False) -> None:
        """Learn the place from an answer. A moment in its window is chosen once for each turn.

        `early`: it lies in the window's first half, or is now, if the window has begun.
        """
        if self.refused:
            return
        before, self.found = self.found, found
        if found is None:
            return
        self.ticket = found.ticket
        if before is None or before.come_from_ms != found.come_from_ms:
            begins, by = found.come_from_ms / 1000, found.come_by_ms / 1000
            start = min(max(begins, self._clock.latest()), by)
            if early:
                by = max(start, (begins + by) / 2) if start == begins else start
            self._come_at = self._system.uniform(start, by)

    def seconds_to_hold(self, *, forced: bool) -> float | None:
        """Seconds until it is time to be held; 0 if it is, `None` without a place."""
        if self.found is None:
            return None
        return 0.0 if forced else max(0.0, self._clock.seconds_until(self._come_at))

    @property
    def come_at(self) -> float:
        """When it is time to be held, on the service's clock."""
        return self._come_at

    def hold_for(self, *, forced: bool) -> float:
        """For how many seconds to be held from now on; 0 if it is too late for that."""
        if self.found is None:
            return 0.0
        if forced:
            return min(LONGEST_HOLD, _FORCED_SHARE * self._clock.hour_length)
        left = self.found.until_ms / 1000 - self._clock.earliest()
        return min(LONGEST_HOLD, max(0.0, left))

    @property
    def is_time(self) -> bool:
        """Whether now is the time to be held: what fails is tried again soon."""
        return (
            self.found is not None
            and self._clock.seconds_until(self._come_at) <= 0
            and self._clock.earliest() < self.found.until_ms / 1000
        )

    def soon(self) -> float:
        """Seconds until the next try, near the turn."""
        return self._system.uniform(*_SOON)


def in_words(place: Place | None) -> str:
    """A place for people, as the end of a sentence; empty where there is none."""
    if place is None:
        return ""
    number = place.place
    last = 0 if 10 < number % 100 < 14 else number % 10
    ending = {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
    return f", {number}{ending} of {place.waiting} in line"


MOST_HELD = 256
"""How many requests a process may have held at once: each takes a thread."""


class HoldingRoom:
    """The room for the held requests of a process. It has no lock."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self._after_fork_in_child()
        forks.register(self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        self._free = deque([None] * self._most)

    def enter(self) -> bool:
        """Take room for one request; returns whether there was some."""
        try:
            self._free.pop()
        except IndexError:
            return False
        return True

    def leave(self) -> None:
        """Give the room back."""
        self._free.append(None)


HOLDING_ROOM = HoldingRoom()
"""That of this process."""

"""A pool's places in the service's line: one for each AppID that it needs after the turn.

A part of the pool's plan: no I/O, and guarded by the plan's lock. How many places a pool needs is
decided in `turn.py`; what a place is, and when it is held, in `lease/place.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..lease.claim import Claim
from ..lease.place import LATE_JITTER, PlaceInLine
from ..runtime.time import SystemTime
from ..wire.clock import ServerClock
from ..wire.models import Asking, Place, Wait


@dataclass(eq=False, slots=True)
class Wish:
    """One AppID that the pool wants after a turn, for which it stands in line.

    Attributes:
        place: where it stands.
        turn: nothing is granted to it earlier, in seconds since the Unix epoch on the service's
            clock; `None` while it is not known whether the service has a line.
        claim: the keeper's record; `None` before it is first sent.
        held: whether the service is asked to hold the request that is sent next, or on the wire.
        retry_at: it is not asked for again before, on the monotonic clock.
        dropped: nobody needs it any more.
    """

    place: PlaceInLine
    turn: float | None
    claim: Claim | None = None
    held: bool = False
    retry_at: float = 0.0
    dropped: bool = False

    @property
    def drawn(self) -> bool:
        """Whether it has a ticket."""
        return self.place.found is not None

    @property
    def looks(self) -> bool:
        """Whether its next request takes what is free at once, and not after the turn."""
        return self.drawn and not self.held

    @property
    def asking(self) -> Asking:
        """What its next request asks of the line: a ticket, to be held, or a look."""
        if self.held:
            return Asking(self.place.hold_for(forced=False), self.place.ticket, 0.0, self.turn)
        if self.looks:
            return Asking(ticket=self.place.ticket)
        return Asking(0.0, None, 0.0, self.turn)


class PlacesInLine:
    """The places of one pool.

    Attributes:
        service_has_line: whether an answer showed that it has one; `None`: not known yet.
    """

    def __init__(self, clock: ServerClock, system: SystemTime) -> None:
        self._clock = clock
        self._system = system
        # In the order of their places.
        self._standing: list[Wish] = []
        self._on_the_wire: list[Wish] = []
        self._refused_before: float | None = None
        self.service_has_line: bool | None = None

    @property
    def first(self) -> Place | None:
        """The place of the wish that stands first."""
        places = [wish.place.found for wish in self._standing + self._on_the_wire]
        return min((one for one in places if one), key=lambda one: one.place, default=None)

    def may_stand(self, *, exhausted: bool) -> bool:
        """Whether the pool may stand in the service's line.

        While it isn't known whether there is one, that is asked in an exhausted hour only: without
        one, the service would grant at once.
        """
        if not self._system.passes_by_itself:
            return False
        return exhausted if self.service_has_line is None else self.service_has_line

    # --- what is sent

    def drop_surplus(self, needed: int) -> list[Claim]:
        """Drop what nobody needs, the last in line first. Returns the claims to give up."""
        claims = []
        for wishes in (self._standing, self._on_the_wire):
            while wishes and len(self._standing) + len(self._on_the_wire) > needed:
                wish = wishes.pop()
                wish.dropped = True
                if wish.claim is not None:
                    claims.append(wish.claim)
        return claims

    def take_draws(self, needed: int, turn: float, now: float, most: int) -> list[Wish]:
        """The wishes that draw their tickets now; at most so many are on the wire at once."""
        if self._refused_before == turn:
            return []
        most -= sum(not one.drawn for one in self._on_the_wire)
        draws = [one for one in self._standing if not one.drawn and one.retry_at <= now]
        del draws[max(0, most) :]
        for wish in draws:
            self._standing.remove(wish)
        missing = needed - len(self._standing) - len(self._on_the_wire) - len(draws)
        for _ in range(min(missing, most - len(draws))):
            place = PlaceInLine(self._clock, self._system)
            draws.append(Wish(place, turn if self.service_has_line else None))
        self._on_the_wire += draws
        return draws

    def take_holds(self, now: float, most: int) -> list[Wish]:
        """The wishes, at most so many, for which it is time to be held over the turn."""
        holds = [one for one in self._standing if one.retry_at <= now and one.place.is_time]
        return [self._take(wish, held=True) for wish in holds[: max(0, most)]]

    def take_first(self, now: float) -> Wish | None:
        """The first wish that has a ticket and isn't held, to ask for it now."""
        for wish in self._standing:
            if wish.drawn and wish.retry_at <= now:
                return self._take(wish, held=False)
        return None

    def _take(self, wish: Wish, *, held: bool) -> Wish:
        self._standing.remove(wish)
        self._on_the_wire.append(wish)
        wish.held = held
        return wish

    def next_due(self, now: float, closes_at: float) -> float | None:
        """When a wish draws its ticket again, or is held, on the monotonic clock.

        None is held before `closes_at`.
        """
        moments = []
        for wish in self._standing:
            left = wish.place.seconds_to_hold(forced=False)
            ready = now if left is None else max(closes_at, now + left)
            moments.append(max(wish.retry_at, ready))
        return min(moments, default=None)

    # --- what came of it

    def returned(self, wish: Wish) -> None:
        """Nothing is on the wire for this wish any more."""
        if wish in self._on_the_wire:
            self._on_the_wire.remove(wish)

    def answered(self, wish: Wish, wait: Wait, now: float) -> bool:
        """It was told 202. Returns whether that is about a later time than the wish's own turn.

        Where the service has no line, or does not know the ticket any more, the wish is dropped.
        """
        looked = wish.looks
        turn = wish.turn
        wish.place.note(wait.line)
        if wait.line is None:
            wish.dropped = True
            return True
        if wait.available_at_ms is not None:
            wish.turn = wait.available_at_ms / 1000
        later = looked or turn is None or wish.turn is None or wish.turn > turn
        if wish.held and not later:
            wish.retry_at = now + wish.place.soon()  # it was answered before its time
        self._stand(wish)
        return later

    def failed(self, wish: Wish, retry_at: float, now: float) -> None:
        """It got no answer. Near the turn it is tried again soon, otherwise at `retry_at`."""
        wish.retry_at = now + wish.place.soon() if wish.place.is_time else retry_at
        self._stand(wish)

    def had_no_room(self, wish: Wish, now: float) -> None:
        """It was not sent, as there was no room, or the hour ends: it comes after the turn."""
        left = 0.0 if wish.turn is None else max(0.0, self._clock.seconds_until(wish.turn))
        wish.retry_at = now + left + self._system.uniform(0.0, LATE_JITTER)
        self._stand(wish)

    def refuse(self, wish: Wish, turn: float | None) -> None:
        """The service takes no wish more into its line before that turn."""
        wish.dropped = True
        self._refused_before = turn

    def _stand(self, wish: Wish) -> None:
        if not wish.dropped:
            self._standing.append(wish)
            self._standing.sort(key=_place)


def _place(wish: Wish) -> float:
    """The place of a wish; that of one without a ticket is behind all others."""
    return math.inf if wish.place.found is None else wish.place.found.place

"""The demand of a pool: its calls to the service, and when the next one may be sent.

Knows backoff, exhaustion, and acquires whose answers were lost. A part of the pool's plan: no
I/O, and guarded by the plan's lock.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..errors import TransportError
from ..lease.claim import Claim
from ..runtime.time import SystemTime
from ..wire.clock import ServerClock
from ..wire.models import Wait
from ..wire.retry import MAX_RETRY_AFTER, MIN_PAUSE, backoff

MOST_IN_FLIGHT = 8
"""How many acquires of one pool may be on the wire at once; only one while the service fails."""

POLL = 60.0
"""Seconds between acquires for waiters in an exhausted hour: `init` may have added AppIDs."""

LONGEST_PAUSE = 10.0
"""The longest pause between acquires while the service fails, in seconds."""


class DemandState(NamedTuple):
    """What the pool's log compares before and after a call."""

    failures: int
    exhausted_until: float | None


class Demand:
    """The calls of a pool: those on the wire, and how the last ones went.

    Attributes:
        in_flight: acquires that are on the wire.
        time_call_in_flight: whether a call for the service's time or hours is on the wire.
        unanswered: claims whose acquires got no answer. The same request is sent again, so that
            a grant in the lost answer isn't lost.
        exhausted_until: the service has no AppID left before this time, in seconds since the
            Unix epoch on its clock; `None` if it may have some.
        failures: calls that failed in a row.
        errors: calls that failed since the pool was made; releases are not counted.
        last_error: the error of the latest failed call; `None` after a success.
    """

    def __init__(self, clock: ServerClock, system: SystemTime) -> None:
        self._clock = clock
        self._system = system
        self._not_before = -math.inf
        self._fill_from = -math.inf
        self._poll_at = -math.inf
        self.in_flight = 0
        self.time_call_in_flight = False
        self.unanswered: list[Claim] = []
        self.exhausted_until: float | None = None
        self.failures = 0
        self.errors = 0
        self.last_error: Exception | None = None

    @property
    def state(self) -> DemandState:
        """What the log compares."""
        return DemandState(self.failures, self.exhausted_until)

    @property
    def busy(self) -> bool:
        """Whether calls are on the wire, or acquires are unanswered."""
        return bool(self.in_flight or self.time_call_in_flight or self.unanswered)

    @property
    def most_in_flight(self) -> int:
        """How many acquires may be on the wire at once."""
        return 1 if self.failures else MOST_IN_FLIGHT

    @property
    def not_before(self) -> float:
        """When the next call may be sent at all, on the monotonic clock."""
        return self._not_before

    def may_fill(self, now: float) -> bool:
        """Whether to acquire AppIDs that no caller waits for yet."""
        return now >= self._fill_from and self.exhausted_until is None

    def acquire_at(self, for_waiters: bool) -> float:
        """When the next acquire may be sent, on the monotonic clock."""
        at = self._not_before if for_waiters else max(self._not_before, self._fill_from)
        return at if self.exhausted_until is None else max(at, self._poll_at)

    def succeeded(self) -> None:
        """A call was answered."""
        self.failures = 0
        self.last_error = None

    def granted(self) -> None:
        """An acquire was granted an AppID."""
        self.succeeded()
        self.exhausted_until = None

    def failed(self, error: Exception, now: float) -> bool:
        """A call failed. Returns whether waiting can help.

        After an error that waiting can't help, the next acquire is sent for new callers only.
        """
        self.errors += 1
        self.failures += 1
        self.last_error = error
        if isinstance(error, TransportError) and error.retryable:
            pause = backoff(self._system, self.failures, LONGEST_PAUSE)
            pause = max(pause, min(error.retry_after or 0.0, MAX_RETRY_AFTER))
            self._not_before = max(self._not_before, now + pause)
            return True
        self._not_before = now + MIN_PAUSE
        self._fill_from = now + backoff(self._system, self.failures, POLL)
        return False

    def exhausted(self, wait: Wait, sent: float, now: float) -> bool:
        """An acquire was answered 202. Returns whether that holds for the present hour.

        It holds for the hour in which the acquire was sent (at `sent`): an answer that took long
        may tell of the hour before.
        """
        self.succeeded()
        if wait.available_at_ms is not None:
            until: float | None = wait.available_at_ms / 1000
        else:
            until = self._clock.hour_end_after(self._clock.earliest(sent))
        self._not_before = now + MIN_PAUSE
        if until is None or self._clock.seconds_until(until) <= 0:
            return False
        self.exhausted_until = until
        self._poll_at = now + max(MIN_PAUSE, min(POLL, self._clock.seconds_until(until)))
        return True

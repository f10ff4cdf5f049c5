"""How a pool's calls to the service go, and when the next one may be sent: backoff, exhaustion, answers in doubt.

A part of the pool's plan: no I/O, and guarded by the pool's lock.
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

MOST_UNDER_WAY = 8
"""Acquires of one pool that are on the wire at the same time, at the most; one alone while the service fails."""

POLL = 60.0
"""Seconds after which those who wait are asked for again, although the hour has nothing left: `init` may have run."""

LONGEST_BACKOFF = 10.0


class Standing(NamedTuple):
    """How the calls stand: as the pool's log compares it before and after an answer."""

    failures: int
    exhausted_until: float | None


class Asking:
    """The state of the calls.

    Attributes:
        under_way: acquires that are on their way.
        learning: whether a question for the service's time or hours is on its way.
        parked: acquires whose answers were lost; the same request is sent again, so that what it got isn't lost.
        exhausted_until: the service had nothing left, and will have nothing before this moment (epoch seconds).
        failures: calls that failed in a row.
        errors: calls that ever failed; `last_error`: the latest, until one succeeds.
    """

    def __init__(self, clock: ServerClock, system: SystemTime) -> None:
        self._clock = clock
        self._system = system
        self.failures = 0
        self._not_before = -math.inf
        self._fill_from = -math.inf
        self._poll_at = -math.inf
        self.under_way = 0
        self.learning = False
        self.parked: list[Claim] = []
        self.exhausted_until: float | None = None
        self.errors = 0
        self.last_error: Exception | None = None

    @property
    def standing(self) -> Standing:
        """How the calls stand now."""
        return Standing(self.failures, self.exhausted_until)

    @property
    def limit(self) -> int:
        """How many acquires may be under way at the same time."""
        return 1 if self.failures else MOST_UNDER_WAY

    def may_fill(self, now: float) -> bool:
        """Whether to ask for AppIDs that nobody waits for yet."""
        return now >= self._fill_from and self.exhausted_until is None

    def ask_at(self, for_waiters: bool) -> float:
        """When the next call may be sent (monotonic)."""
        moment = self._not_before if for_waiters else max(self._not_before, self._fill_from)
        return moment if self.exhausted_until is None else max(moment, self._poll_at)

    def succeeded(self) -> None:
        """A call got an answer."""
        self.failures = 0
        self.last_error = None

    def granted(self) -> None:
        """An acquire got an AppID."""
        self.succeeded()
        self.exhausted_until = None

    def failed(self, error: Exception, now: float) -> bool:
        """A call failed; says whether waiting can mend that. If not, it's tried again for new callers only."""
        self.errors += 1
        self.failures += 1
        self.last_error = error
        if isinstance(error, TransportError) and error.retryable:
            pause = backoff(self._system, self.failures, LONGEST_BACKOFF)
            pause = max(pause, min(error.retry_after or 0.0, MAX_RETRY_AFTER))
            self._not_before = max(self._not_before, now + pause)
            return True
        self._not_before = now + MIN_PAUSE
        self._fill_from = now + backoff(self._system, self.failures, POLL)
        return False

    def exhausted(self, wait: Wait, sent: float, now: float) -> bool:
        """A 202 to an acquire that was sent at `sent`; says whether it means anything for the present hour.

        It counts for the hour into which the acquire fell: an answer that took long may be of the one before.
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

"""Time: the machine's own (`SystemTime`, injected everywhere), and the service's as far as it can be known.

`ServerClock` never asks anybody: it is told the times that answers carry, and keeps the narrowest bounds
that they allow. What decides an hour is always the service's clock, never this machine's.
"""

from __future__ import annotations

import math
import threading

from ..runtime import forks
from ..runtime.time import SystemTime

_DRIFT = 100e-6
_RESOLUTION = 0.001
HOUR = 3600.0


class ServerClock:
    """An estimate of the service's clock and hours, on this machine's monotonic clock.

    A time `s` in an answer was read between sending and receiving, so the difference of the two clocks lies
    between `s - received` and `s - sent`; each answer narrows the bounds, and age widens them by the drift that
    quartz may have. Answers that contradict the bounds (a clock was set) replace them. Hours are known only
    from the service: a zone may turn its hours at :00, :15, :30 or :45 of UTC, and may shift in summer.
    All times of this class are in seconds.
    """

    def __init__(self, system: SystemTime) -> None:
        self._system = system
        self._lock = threading.Lock()
        # Guarded by _lock: all that follows.
        self._low = -math.inf
        self._high = math.inf
        self._as_of = 0.0
        self._anchor: float | None = None
        self._length = HOUR
        forks.register(self)

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()

    def observe(self, server_ms: int, sent: float, received: float) -> None:
        """Take in a time that the service read between the monotonic moments `sent` and `received`."""
        low = server_ms / 1000 - received
        # Read at `sent` at the earliest, and drifting ever since.
        high = server_ms / 1000 + _RESOLUTION - sent + _DRIFT * (received - sent)
        with self._lock:
            # Answers of other threads may be newer than this one: then the bounds age backwards.
            age = _DRIFT * abs(received - self._as_of)
            narrowed = max(low, self._low - age), min(high, self._high + age)
            self._low, self._high = narrowed if narrowed[0] <= narrowed[1] else (low, high)
            self._as_of = received

    def observe_hour(self, end_ms: int, start_ms: int | None = None) -> None:
        """Take in the end of the service's present hour, and its start where that is known too."""
        with self._lock:
            self._anchor = end_ms / 1000
            if start_ms is not None and end_ms > start_ms:
                self._length = (end_ms - start_ms) / 1000

    @property
    def known(self) -> bool:
        """Whether the service's time is known at all."""
        with self._lock:
            return self._low > -math.inf

    @property
    def hour_known(self) -> bool:
        """Whether the end of the *present* hour was heard from the service, not only extrapolated."""
        latest = self.latest()
        with self._lock:
            return self._anchor is not None and latest < self._anchor

    @property
    def hour_length(self) -> float:
        """The length of an hour, in seconds: 3600 except where a test or demo made it shorter."""
        with self._lock:
            return self._length

    def earliest(self, at: float | None = None) -> float:
        """The lowest that the service's clock can stand at (epoch seconds); -inf if unknown.

        `at` is a moment on the monotonic clock, by default now.
        """
        moment = self._system.monotonic() if at is None else at
        with self._lock:
            return moment + self._low - _DRIFT * abs(moment - self._as_of)

    def latest(self, at: float | None = None) -> float:
        """The highest that the service's clock can stand at (epoch seconds); inf if unknown."""
        moment = self._system.monotonic() if at is None else at
        with self._lock:
            return moment + self._high + _DRIFT * abs(moment - self._as_of)

    def now(self) -> float:
        """The best guess at the service's clock (epoch seconds).

        Raises:
            ValueError: nothing is known yet.
        """
        if not self.known:
            raise ValueError("the service's clock is not known yet")
        return (self.earliest() + self.latest()) / 2

    @property
    def age(self) -> float:
        """Seconds since the last answer with a time in it; inf if there was none."""
        with self._lock:
            if self._low == -math.inf:
                return math.inf
            as_of = self._as_of
        return self._system.monotonic() - as_of

    def hour_end_after(self, server_time: float) -> float | None:
        """The first hour boundary after `server_time`, or `None` while the service's hours are unknown."""
        with self._lock:
            if self._anchor is None or not math.isfinite(server_time):
                return None
            hours = math.floor((server_time - self._anchor) / self._length) + 1
            return self._anchor + hours * self._length

    def hour_end(self) -> float | None:
        """The end of the present hour, or `None` while the service's time or hours are unknown.

        Near a boundary this is the one that may still lie ahead: `seconds_until` it is never negative by
        more than the clock's uncertainty.
        """
        if not self.known:
            return None
        return self.hour_end_after(self.earliest())

    def seconds_until(self, server_time: float) -> float:
        """Seconds from now until the service's clock has *certainly* reached `server_time`, drifting on the way."""
        left = server_time - self.earliest()
        return left / (1 - _DRIFT) if left > 0 else left

    def seconds_before(self, server_time: float) -> float:
        """Seconds from now during which the service's clock will *certainly not* reach `server_time`."""
        left = server_time - self.latest()
        return left / (1 + _DRIFT) if left > 0 else left

"""The service's clock and hours, as far as its answers tell them.

`ServerClock` sends nothing: `api.py` passes it the times in answers, and it keeps the narrowest
bounds that follow from them. Hours are always those of the service, never of this machine's clock.
"""

from __future__ import annotations

import math

from ..runtime.forks import WithLock
from ..runtime.time import SystemTime

HOUR = 3600.0
"""The length of an hour in seconds, unless a service tells another."""

_DRIFT = 100e-6
"""Seconds per second by which two clocks can drift apart: what two quartz clocks can have."""

_RESOLUTION = 0.001
"""Times in answers are cut to milliseconds."""


class ServerClock(WithLock):
    """Bounds of the service's clock, and its hours, in terms of this machine's monotonic clock.

    The service read a time `s` in an answer between sending and receiving. So its clock is ahead of
    the monotonic clock by at least `s - received` and at most `s - sent`. Each answer narrows these
    bounds; with age they widen by the drift that two quartz clocks can have. An answer that
    contradicts the bounds (somebody set a clock) replaces them.

    Only the service knows its hours: they can turn at :00, :15, :30 or :45 of UTC, and can shift
    with summer time. All times of this class are in seconds, those of the service since the Unix
    epoch.
    """

    def __init__(self, system: SystemTime) -> None:
        super().__init__()
        self._system = system
        # Guarded by _lock: all fields below, where more than one is needed.
        self._low = -math.inf
        self._high = math.inf
        self._as_of = 0.0
        self._anchor: float | None = None
        self._length = HOUR
        self._length_told = False

    def observe(self, server_ms: int, sent: float, received: float) -> None:
        """Learn a time that the service read between the monotonic times `sent` and `received`."""
        low = server_ms / 1000 - received
        # It was read at `sent` at the earliest, and the clocks have drifted since then.
        high = server_ms / 1000 + _RESOLUTION - sent + _DRIFT * (received - sent)
        with self._lock:
            # The bounds can be newer than this answer, where another thread got a later one.
            age = _DRIFT * abs(received - self._as_of)
            narrowed = max(low, self._low - age), min(high, self._high + age)
            self._low, self._high = narrowed if narrowed[0] <= narrowed[1] else (low, high)
            self._as_of = received

    def observe_hour(self, end_ms: int, start_ms: int | None = None) -> None:
        """Learn the end of the service's present hour, and its start if that is known."""
        with self._lock:
            self._anchor = end_ms / 1000
            if start_ms is not None and end_ms > start_ms:
                self._length = (end_ms - start_ms) / 1000
                self._length_told = True

    @property
    def known(self) -> bool:
        """Whether any time of the service is known."""
        return self._low > -math.inf

    @property
    def hour_known(self) -> bool:
        """Whether the service itself told the end of the present hour; not extrapolated."""
        latest, anchor = self.latest(), self._anchor
        return anchor is not None and latest < anchor

    @property
    def length_told(self) -> bool:
        """Whether the service told how long its hours are."""
        return self._length_told

    @property
    def hour_length(self) -> float:
        """The length of an hour: 3600 s, except where a test or a demo made it shorter."""
        return self._length

    def earliest(self, at: float | None = None) -> float:
        """The earliest time that the service's clock can show; -inf if unknown.

        `at` is a time of the monotonic clock, by default now.
        """
        at = self._system.monotonic() if at is None else at
        with self._lock:
            return at + self._low - _DRIFT * abs(at - self._as_of)

    def latest(self, at: float | None = None) -> float:
        """The latest time that the service's clock can show at `at`; inf if unknown."""
        at = self._system.monotonic() if at is None else at
        with self._lock:
            return at + self._high + _DRIFT * abs(at - self._as_of)

    def now(self) -> float:
        """The middle between `earliest()` and `latest()`.

        Raises:
            ValueError: nothing is known yet.
        """
        if not self.known:
            raise ValueError("the service's clock is not known yet")
        return (self.earliest() + self.latest()) / 2

    @property
    def age(self) -> float:
        """Seconds since the last answer that told a time; inf if there was none."""
        with self._lock:
            if self._low == -math.inf:
                return math.inf
            as_of = self._as_of
        return self._system.monotonic() - as_of

    def hour_end_after(self, server_time: float) -> float | None:
        """The first turn of the hour after `server_time`; `None` while the hours are unknown."""
        with self._lock:
            if self._anchor is None or not math.isfinite(server_time):
                return None
            hours = math.floor((server_time - self._anchor) / self._length) + 1
            return self._anchor + hours * self._length

    def hour_end(self) -> float | None:
        """The end of the present hour; `None` while the service's time or hours are unknown.

        Near a turn, where it is not certain whether the hour has turned, this is the earlier end:
        the hour that may still be running.
        """
        if not self.known:
            return None
        return self.hour_end_after(self.earliest())

    def seconds_until(self, server_time: float) -> float:
        """Seconds after which the service's clock has certainly reached `server_time`.

        Includes the drift until then. Negative if the time has certainly passed.
        """
        left = server_time - self.earliest()
        return left / (1 - _DRIFT) if left > 0 else left

    def seconds_before(self, server_time: float) -> float:
        """Seconds for which the service's clock will certainly not have reached `server_time`.

        Includes the drift until then. Negative if the time may have passed.
        """
        left = server_time - self.latest()
        return left / (1 + _DRIFT) if left > 0 else left

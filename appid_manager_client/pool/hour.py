"""The hour window: when a pool stops before the turn of the service's hour, and starts after it.

What the pool does at the turn is decided in `turn.py`. Times are on the monotonic clock of this
machine. They are computed from the service's clock at each refresh, because the clock learns.
"""

from __future__ import annotations

import math

from ..runtime.time import SystemTime
from ..wire.clock import ServerClock
from ..wire.retry import TURN_JITTER

LARGEST_MARGIN = 0.1
"""The margin takes at most this part of an hour: a short hour must leave time to work in."""


class HourWindow:
    """The present hour. Guarded by the plan's lock.

    Attributes:
        learnt: whether the hours were asked for. What others learnt of them does not tell how long
            they are.
        hour_end: when it ends, in seconds since the Unix epoch on the service's clock; `None`
            while unknown.
        closes_at: `renew_margin` before its end. From then on nothing of this hour is acquired
            or handed out.
        ends_at: until then the hour has certainly not ended.
        opens_at: from then on the next hour has certainly begun.
        acquire_from: no acquire is sent before this time.
    """

    def __init__(self, clock: ServerClock, system: SystemTime, renew_margin: float) -> None:
        self._clock = clock
        self._system = system
        self._renew_margin = renew_margin
        self._earliest = -math.inf
        self._latest = math.inf
        self._counted = -math.inf
        self.learnt = False
        self.hour_end: float | None = None
        self.closes_at = -math.inf
        self.ends_at = -math.inf
        self.opens_at = math.inf
        self.acquire_from = -math.inf

    def refresh(self, now: float) -> int:
        """Read the service's clock. Returns how many hours have turned since the last refresh."""
        if not self.learnt:
            return 0
        self._earliest = self._clock.earliest(now)
        end = self._clock.hour_end_after(self._earliest)
        if end is None:
            return 0
        self._latest = self._clock.latest(now)
        before = self.hour_end
        turned = 0
        if before is not None and self._counted < before <= self._earliest:
            turned = 1 + int((self._earliest - before) / self._clock.hour_length)
            self._counted = before + (turned - 1) * self._clock.hour_length
            self.acquire_from = self.opens_at + self._system.uniform(0, TURN_JITTER)
        self.hour_end = end
        self.closes_at, self.ends_at = self.bounds(now, end)
        self.opens_at = now + (end - self._earliest)
        return turned

    def end_of(self, server_time: float, default: float) -> float:
        """The end of the hour that `server_time` lies in; `default` while hours are unknown."""
        end = self._clock.hour_end_after(server_time)
        return default if end is None else end

    def bounds(self, now: float, hour_end: float) -> tuple[float, float]:
        """`closes_at` and `ends_at` of the hour that ends at `hour_end` on the service's clock."""
        ends_at = now + (hour_end - self._latest)
        margin = min(self._renew_margin, LARGEST_MARGIN * self._clock.hour_length)
        return ends_at - margin, ends_at

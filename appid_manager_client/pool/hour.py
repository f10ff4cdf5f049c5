"""The turn of the service's hour as a pool sees it: when it closes before the turn, and when it opens after it.

Moments are monotonic seconds, made anew from the service's clock at each refresh: what it learns meanwhile counts.
"""

from __future__ import annotations

import math

from ..runtime.time import SystemTime
from ..wire.clock import ServerClock

LARGEST_MARGIN = 0.1
"""The margin takes at most this part of an hour: a short hour, or a long margin, leaves time to work in."""

TURN_JITTER = 0.05
"""After the turn, pools spread their first acquires over these seconds. Never before it: that would burn AppIDs."""


class Turn:
    """The present hour. Guarded by the pool's lock.

    Attributes:
        hour_end: its end in seconds since the Unix epoch on the service's clock; `None` while unknown.
        closes_at: `renew_margin` before its end; from then on nothing of this hour is asked for or handed out.
        ends_at: until then the hour has certainly not ended.
        opens_at: from then on the next hour has certainly begun.
        ask_from: nothing is asked for before this moment.
    """

    def __init__(self, clock: ServerClock, system: SystemTime, renew_margin: float) -> None:
        self._clock = clock
        self._system = system
        self._renew_margin = renew_margin
        self._earliest = -math.inf
        self._latest = math.inf
        self._counted = -math.inf
        self.hour_end: float | None = None
        self.closes_at = -math.inf
        self.ends_at = -math.inf
        self.opens_at = math.inf
        self.ask_from = -math.inf

    def refresh(self, now: float) -> int:
        """Take in what is known of the clock at `now`; says how many hours have turned since the last time."""
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
            self.ask_from = self.opens_at + self._system.uniform(0, TURN_JITTER)
        self.hour_end = end
        self.closes_at, self.ends_at = self.bounds(now, end)
        self.opens_at = now + (end - self._earliest)
        return turned

    def end_of(self, moment: float, default: float) -> float:
        """The end of the hour in which `moment` lies on the service's clock, as far as its hours are known."""
        end = self._clock.hour_end_after(moment)
        return default if end is None else end

    def bounds(self, now: float, hour_end: float) -> tuple[float, float]:
        """When to stop handing out what was granted in the hour that ends at `hour_end`, and until when it lasts."""
        ends_at = now + (hour_end - self._latest)
        margin = min(self._renew_margin, LARGEST_MARGIN * self._clock.hour_length)
        return ends_at - margin, ends_at

"""The service's clock: the time of this machine, and whether somebody set it meanwhile.

Knows nothing of hours and leases. What a jump means for leases is decided in `store`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Returns the time in milliseconds since the Unix epoch."""

# A wall clock that is only slewed drifts from the monotonic one by far less than this between
# two calls of `jumped`.
_JUMP_MS = 5_000


class SystemClock:
    """This machine's wall clock, compared with its monotonic clock so that a jump is noticed."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._difference_ms = self._measure()

    def __call__(self) -> int:
        return int(self._wall() * 1000)

    def jumped(self) -> bool:
        """Return whether the wall clock was set, or the machine slept, since the last call."""
        difference_ms = self._measure()
        jumped = abs(difference_ms - self._difference_ms) > _JUMP_MS
        self._difference_ms = difference_ms
        return jumped

    def _measure(self) -> float:
        return (self._wall() - self._monotonic()) * 1000

"""The clock that the service reads, and the notice that it was set: forwards, backwards, or by a machine that slept."""

from __future__ import annotations

import time
from collections.abc import Callable

# A wall clock that is slewed strays from the monotonic one by far less than this between two looks.
_LEAP_MS = 5_000


class SystemClock:
    """This machine's wall clock, compared with its monotonic one so that a leap is noticed."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._difference = self._measure()

    def __call__(self) -> int:
        return int(self._wall() * 1000)

    def leapt(self) -> bool:
        """Whether the wall clock was set, or the machine slept, since the last call of this method."""
        difference = self._measure()
        leapt = abs(difference - self._difference) > _LEAP_MS
        self._difference = difference
        return leapt

    def _measure(self) -> float:
        return (self._wall() - self._monotonic()) * 1000

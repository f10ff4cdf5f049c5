"""Time as this machine has it: one object for clocks, sleeps and jitter, injected everywhere.

What time it is at the service is for `wire/clock.py`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time

_SLICE = 2.0
"""Seconds after which a wait looks up at the latest: the machine may have been suspended, or a signal may have come
in the moment before the wait began."""


# Not the global generator: a program that seeds it would have all its processes strike in the same instants, and
# would get other numbers for itself. This one has no state to seed, nor to share with a forked child.
_chance = random.SystemRandom()


class SystemTime:
    """The clocks, sleeps and randomness of this machine. Tests put a turned clock in its place.

    `monotonic` also counts the time that the machine was suspended, where the system has such a clock.
    """

    if hasattr(time, "CLOCK_BOOTTIME"):

        def monotonic(self) -> float:
            """Seconds since some start; never runs backwards."""
            return time.clock_gettime(time.CLOCK_BOOTTIME)

    elif sys.platform == "darwin":

        def monotonic(self) -> float:
            """Seconds since some start; never runs backwards."""
            # Unlike time.monotonic(), which stands still while a Mac sleeps.
            return time.clock_gettime(time.CLOCK_MONOTONIC)

    else:

        def monotonic(self) -> float:
            """Seconds since some start; never runs backwards."""
            return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Sleep until `event` is set or `seconds` have passed; says whether it is set.

        Waits in slices: the system's own timeouts stand still while the machine is suspended.
        """
        deadline = self.monotonic() + seconds
        while not event.is_set():
            left = deadline - self.monotonic()
            if left <= 0:
                break
            event.wait(min(left, _SLICE))
        return event.is_set()

    async def sleep(self, seconds: float) -> None:
        """The same for coroutines: holds no thread."""
        deadline = self.monotonic() + seconds
        while (left := deadline - self.monotonic()) > 0:
            await asyncio.sleep(min(left, _SLICE))

    def uniform(self, low: float, high: float) -> float:
        """A random number between the two, for jitter."""
        return _chance.uniform(low, high)

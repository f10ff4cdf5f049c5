"""The time of this machine: one object for its clocks, sleeps and jitter, injected everywhere.

The service's time is for `wire/clock.py`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from datetime import datetime, timezone

_SLICE = 2.0
"""The longest part of a wait, in seconds. After it the wait looks at the clock and the event again.

The machine may have been suspended, and a signal may have come just before the wait began.
"""

LONGEST_SLEEP = 20.0
"""The longest sleep of a thread that looks at the clock by itself, in seconds.

The machine may have been suspended. Nothing is lost in between: what such a thread waits for wakes
it.
"""

# Not the global generator: where a program seeds that, all its processes would draw the same
# jitter, and the program itself would get other numbers. This one has no state: nothing to seed,
# and nothing to share with a forked child.
_random = random.SystemRandom()


class SystemTime:
    """The clocks, sleeps and randomness of this machine. Tests inject a simulated clock instead.

    All times are in seconds. `monotonic` also counts the time for which the machine was suspended,
    where the system has a clock that does.
    """

    if hasattr(time, "CLOCK_BOOTTIME"):

        def monotonic(self) -> float:
            """Seconds since an arbitrary start. Never runs backwards."""
            return time.clock_gettime(time.CLOCK_BOOTTIME)

    elif sys.platform == "darwin":

        def monotonic(self) -> float:
            """Seconds since an arbitrary start. Never runs backwards."""
            # time.monotonic() stops while a Mac sleeps; this clock does not.
            return time.clock_gettime(time.CLOCK_MONOTONIC)

    else:

        def monotonic(self) -> float:
            """Seconds since an arbitrary start. Never runs backwards."""
            return time.monotonic()

    @property
    def passes_by_itself(self) -> bool:
        """Whether time passes while a service holds a request, and not only by our own waits."""
        return type(self).monotonic is SystemTime.monotonic

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until `event` is set or `seconds` have passed. Returns whether it is set.

        Waits in parts, as the system's own timeouts stop while the machine is suspended.
        """
        deadline = self.monotonic() + seconds
        while not event.is_set():
            left = deadline - self.monotonic()
            if left <= 0:
                break
            event.wait(min(left, _SLICE))
        return event.is_set()

    async def sleep(self, seconds: float) -> None:
        """Sleep in a coroutine, which holds no thread."""
        deadline = self.monotonic() + seconds
        while (left := deadline - self.monotonic()) > 0:
            await asyncio.sleep(min(left, _SLICE))

    def uniform(self, low: float, high: float) -> float:
        """A random number between `low` and `high`, for jitter."""
        return _random.uniform(low, high)


def clock_time(moment: float) -> str:
    """A time in seconds since the Unix epoch, for people."""
    return f"{datetime.fromtimestamp(moment, timezone.utc):%H:%M:%S} UTC"


def clock_time_after(seconds: float) -> str:
    """The time that this machine's clock will show then, for people: nothing goes by it."""
    return clock_time(time.time() + seconds)

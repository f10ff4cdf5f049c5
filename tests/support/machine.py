"""The machine's clock, set by tests: waits and sleeps take no real time, and are recorded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from appid_manager_client.runtime.time import SystemTime


class TurnedSystem(SystemTime):
    """A `SystemTime` whose clock moves only by waits, sleeps and `turn`.

    Args:
        jitter: what `uniform(low, high)` returns, from 0 (`low`) to 1 (`high`); a callable returns
            it for each draw.
        followers: called with the seconds of every move, to advance a service's frozen clock too.

    Attributes:
        pauses: the seconds of each wait and sleep, in order.
    """

    def __init__(
        self,
        start: float = 1000.0,
        *,
        jitter: float | Callable[[], float] = 0.5,
        followers: tuple[Callable[[float], object], ...] = (),
    ) -> None:
        self._lock = threading.Lock()  # guards the next two
        self._now = start
        self.pauses: list[float] = []
        self._jitter = jitter
        self._followers = followers

    def turn(self, seconds: float) -> None:
        """Set the clock forward."""
        with self._lock:
            self._now += seconds
        for follow in self._followers:
            follow(seconds)

    def monotonic(self) -> float:
        with self._lock:
            return self._now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if event.is_set():
            return True
        self._pass(seconds)
        return event.is_set()

    async def sleep(self, seconds: float) -> None:
        self._pass(seconds)
        await asyncio.sleep(0)

    def uniform(self, low: float, high: float) -> float:
        share = self._jitter() if callable(self._jitter) else self._jitter
        return low + (high - low) * share

    def _pass(self, seconds: float) -> None:
        with self._lock:
            self.pauses.append(seconds)
        if seconds > 0:
            self.turn(seconds)


class HastyTime(SystemTime):
    """The real clock with the least jitter: each backoff takes a twentieth of a second."""

    def uniform(self, low: float, high: float) -> float:
        return low


class HeldSystem(TurnedSystem):
    """A turned clock that would go on while a request is held."""

    passes_by_itself = True

"""A clock that tests set: the real time plus an offset, or a frozen time that tests advance."""

from __future__ import annotations

import threading
import time


class TurnedClock:
    """The clock of another machine, in seconds since the Unix epoch.

    `TurnedClock(offset=-30)` runs with the real clock, half a minute behind it.
    `TurnedClock(frozen_at=1_700_000_000)` moves only by `advance` and `set_time`.
    """

    def __init__(self, offset: float = 0.0, *, frozen_at: float | None = None) -> None:
        self._lock = threading.Lock()  # guards both fields below
        self._offset = offset
        self._frozen_at = frozen_at

    def time(self) -> float:
        with self._lock:
            return self._now()

    def time_ms(self) -> int:
        return int(self.time() * 1000)

    def advance(self, seconds: float) -> None:
        """Set the clock forward, or back with a negative number."""
        with self._lock:
            if self._frozen_at is None:
                self._offset += seconds
            else:
                self._frozen_at += seconds

    def set_time(self, seconds: float) -> None:
        """Set the clock. A running clock goes on from there, a frozen one stays there."""
        with self._lock:
            if self._frozen_at is None:
                self._offset = seconds - time.time()
            else:
                self._frozen_at = seconds

    def freeze(self) -> None:
        with self._lock:
            self._frozen_at = self._now()

    def _now(self) -> float:
        return time.time() + self._offset if self._frozen_at is None else self._frozen_at

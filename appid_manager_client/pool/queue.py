"""Who waits for a lease of a pool, in order, and how each is told: threads by an event, coroutines by their loop."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterator

from .lease import PooledLease


class Waiter:
    """One caller that waits. `served` and `error` are guarded by the pool's lock, and set once, one of them."""

    __slots__ = ("lease", "number", "since", "deadline", "served", "error")

    def __init__(self, lease: PooledLease, since: float, deadline: float | None) -> None:
        self.lease = lease
        self.since = since
        self.deadline = deadline
        self.number = 0
        self.served = False
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether it has a lease, or an error."""
        return self.served or self.error is not None

    def tell(self) -> bool:
        """Wake the caller; says whether there is still somebody to be woken. Called without the pool's lock."""
        raise NotImplementedError


class ThreadWaiter(Waiter):
    """A thread. A bare lock that is opened once: an `Event` costs several times as much to make and to wait for."""

    __slots__ = ("_gate",)

    def __init__(self, lease: PooledLease, since: float, deadline: float | None) -> None:
        super().__init__(lease, since, deadline)
        self._gate = threading.Lock()
        self._gate.acquire()

    def wait(self, seconds: float) -> None:
        """Sleep until told, at most `seconds`: the caller looks at its own clock again after that."""
        self._gate.acquire(timeout=seconds)

    def tell(self) -> bool:
        self._gate.release()
        return True


class LoopWaiter(Waiter):
    """A coroutine of a running event loop."""

    __slots__ = ("future", "_loop")

    def __init__(self, lease: PooledLease, since: float, deadline: float | None) -> None:
        super().__init__(lease, since, deadline)
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self._loop.create_future()

    def tell(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            return False  # the loop was closed under its coroutine
        return True

    def _resolve(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Line:
    """First come, first served. Guarded by the pool's lock.

    Whoever needs more than is left of this hour (`min_remaining`), or had its part of it (`renew`), stands aside until
    the next one, and then takes up the place that its arrival gives it.

    Attributes:
        waiting: who waits for a lease of this hour.
        choosy: those of them whom not every moment of the hour suits.
        arrivals: how many ever came.
    """

    def __init__(self) -> None:
        self.arrivals = 0
        self.waiting: OrderedDict[int, Waiter] = OrderedDict()
        self.choosy: dict[int, Waiter] = {}
        self._aside: OrderedDict[int, Waiter] = OrderedDict()

    def __iter__(self) -> Iterator[Waiter]:
        """All that wait, also those aside."""
        yield from self.waiting.values()
        yield from self._aside.values()

    @property
    def total(self) -> int:
        """How many wait, for this hour or the next."""
        return len(self.waiting) + len(self._aside)

    def join(self, waiter: Waiter) -> None:
        """Stand at the end."""
        self.arrivals += 1
        waiter.number = self.arrivals
        self.waiting[waiter.number] = waiter
        if waiter.lease._min_remaining or waiter.lease._later_than:
            self.choosy[waiter.number] = waiter

    def first(self) -> Waiter:
        """Whose turn it is."""
        return next(iter(self.waiting.values()))

    def step_aside(self, waiter: Waiter) -> None:
        """Wait for the next hour."""
        del self.waiting[waiter.number]
        self.choosy.pop(waiter.number, None)
        self._aside[waiter.number] = waiter

    def leave(self, waiter: Waiter) -> None:
        """Wait no more; of no effect on one that doesn't wait."""
        self.waiting.pop(waiter.number, None)
        self.choosy.pop(waiter.number, None)
        self._aside.pop(waiter.number, None)

    def new_hour(self) -> None:
        """Who stood aside comes back to its place."""
        if self._aside:
            everybody = sorted((*self.waiting.items(), *self._aside.items()))
            self.waiting = OrderedDict(everybody)
            self.choosy.update(self._aside)
            self._aside.clear()

"""Who waits for a lease of a pool, in which order, and how each waiter is woken.

Also builds the errors for callers who get no lease. When a waiter gets one is decided in
`slots.py`, when it gets an error in `plan.py`.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from ..errors import AppIdManagerError, PoolClosed, PoolTimeout
from ..runtime.coroutines import require_asyncio, resolve, runs_here
from ..wire.clock import ServerClock
from .model import Ticket


class Waiter:
    """One caller that waits.

    Attributes:
        ticket: gets the slot.
        since: when the wait began, on the monotonic clock.
        deadline: when it ends; `None`: never.
        not_before: only an hour that begins at this time or later will do, in seconds since the
            Unix epoch on the service's clock; 0: any hour.
        number: the waiter's place in the queue; 0 before it is queued.
        served, error: one of them is set, once. Guarded by the plan's lock.
    """

    __slots__ = ("ticket", "since", "deadline", "not_before", "number", "served", "error")

    def __init__(
        self, ticket: Ticket, since: float, deadline: float | None, not_before: float = 0.0
    ) -> None:
        self.ticket = ticket
        self.since = since
        self.deadline = deadline
        self.not_before = not_before
        self.number = 0
        self.served = False
        self.error: BaseException | None = None

    def accepts(self, hour_end: float, ends_at: float, now: float) -> bool:
        """Whether the waiter can be served in the hour that ends at `hour_end`.

        The hour certainly lasts until `ends_at` on the monotonic clock.
        """
        return now + self.ticket.min_remaining <= ends_at and hour_end > self.not_before

    @property
    def done(self) -> bool:
        """Whether it has a lease or an error."""
        return self.served or self.error is not None

    def notify(self) -> bool:
        """Wake the caller. Returns whether it is still there. Called without the plan's lock."""
        raise NotImplementedError


class ThreadWaiter(Waiter):
    """A thread that waits.

    It waits on a bare lock that is opened once: an `Event` costs several times as much.
    """

    __slots__ = ("_gate",)

    def __init__(
        self, ticket: Ticket, since: float, deadline: float | None, not_before: float = 0.0
    ) -> None:
        super().__init__(ticket, since, deadline, not_before)
        self._gate = threading.Lock()
        self._gate.acquire()

    def wait(self, seconds: float) -> None:
        """Sleep until notified, at most `seconds`; then the caller reads its own clock again."""
        self._gate.acquire(timeout=seconds)

    def notify(self) -> bool:
        self._gate.release()
        return True


class LoopWaiter(Waiter):
    """A coroutine of a running event loop that waits."""

    __slots__ = ("future", "loop")

    def __init__(
        self, ticket: Ticket, since: float, deadline: float | None, not_before: float = 0.0
    ) -> None:
        super().__init__(ticket, since, deadline, not_before)
        self.loop = require_asyncio()
        self.future: asyncio.Future[None] = self.loop.create_future()

    async def wait(self, seconds: float) -> None:
        """Sleep until notified, at most `seconds`; then the caller reads its own clock again."""
        timer = self.loop.call_later(seconds, self._resolve)
        try:
            await self.to_sleep()
        finally:
            timer.cancel()

    def to_sleep(self) -> asyncio.Future[None]:
        """What to await: it is resolved when the waiter is notified."""
        if self.future.done():
            self.future = self.loop.create_future()
        return self.future

    def notify(self) -> bool:
        if runs_here(self.loop):
            self._resolve()  # another coroutine gave its lease back
            return True
        try:
            self.loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            return False  # the loop was closed while its coroutine waited
        return True

    def _resolve(self) -> None:
        resolve(self.future)


class WaitingQueue:
    """The waiters, first come, first served. Guarded by the plan's lock.

    A waiter that this hour can't serve (`min_remaining`, or `renew`) is postponed to the next
    hour. Then it takes the place in the queue that its arrival gives it.

    Attributes:
        waiting: the waiters for a lease of this hour, by their numbers.
        constrained: those of them with constraints (`min_remaining`, a later hour).
        arrivals: how many waiters were ever added.
    """

    def __init__(self) -> None:
        self.arrivals = 0
        self.waiting: OrderedDict[int, Waiter] = OrderedDict()
        self.constrained: dict[int, Waiter] = {}
        self._postponed: OrderedDict[int, Waiter] = OrderedDict()

    def __iter__(self) -> Iterator[Waiter]:
        """All waiters, the postponed ones last."""
        yield from self.waiting.values()
        yield from self._postponed.values()

    def __len__(self) -> int:
        """How many wait, for this hour or the next."""
        return len(self.waiting) + len(self._postponed)

    @property
    def postponed(self) -> int:
        """How many wait for the next hour."""
        return len(self._postponed)

    def add(self, waiter: Waiter) -> None:
        """Put a waiter at the end."""
        self.arrivals += 1
        waiter.number = self.arrivals
        self.waiting[waiter.number] = waiter
        if waiter.ticket.min_remaining or waiter.not_before:
            self.constrained[waiter.number] = waiter

    def first(self) -> Waiter:
        """The waiter that is next."""
        return next(iter(self.waiting.values()))

    def postpone(self, waiter: Waiter) -> None:
        """Have a waiter wait for the next hour."""
        # An interrupt that strikes in between leaves the waiter queued.
        self._postponed[waiter.number] = waiter
        del self.waiting[waiter.number]
        self.constrained.pop(waiter.number, None)

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter out. Does nothing if the waiter is not queued."""
        self.waiting.pop(waiter.number, None)
        self.constrained.pop(waiter.number, None)
        self._postponed.pop(waiter.number, None)

    def readmit(self) -> None:
        """Put the postponed waiters back in their places: the hour is another one."""
        if self._postponed:
            everybody = sorted((*self.waiting.items(), *self._postponed.items()))
            self.waiting = OrderedDict(everybody)
            self.constrained.update(self._postponed)
            self._postponed.clear()


@dataclass(frozen=True, slots=True)
class PoolErrors:
    """Builds the errors of one pool for callers who get no lease."""

    product_name: str
    service: str
    clock: ServerClock

    def closed(self) -> PoolClosed:
        """The pool was closed."""
        return PoolClosed(
            f"the pool of {self.product_name} at {self.service} is closed", service=self.service
        )

    def timeout(
        self, waited: float, figures: str, available_at: float | None, last_error: Exception | None
    ) -> PoolTimeout:
        """No lease became free in time. If the service fails, that is the cause."""
        about = f"no lease of product {self.product_name!r} at {self.service}"
        message = f"{about} became free in {waited:.1f} s: {figures}"
        retry_after = None
        if available_at is not None:
            retry_after = max(0.0, self.clock.seconds_until(available_at))
            at = datetime.fromtimestamp(available_at, timezone.utc)
            message += f"; none can be free before {at:%Y-%m-%d %H:%M:%S} UTC"
        if last_error is not None:
            message += f"; the service fails: {last_error}"
        error = PoolTimeout(
            message,
            service=self.service,
            product_name=self.product_name,
            waited=waited,
            available_at=available_at,
            retry_after=retry_after,
        )
        if isinstance(last_error, AppIdManagerError):
            error.__cause__ = copy.copy(last_error)
        return error

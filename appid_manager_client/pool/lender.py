"""The inner part of a pool: lends slots to tickets, has callers wait, runs maintenance rounds.

What to do is decided in `plan.py`, under its lock. What is decided is done here, without the
lock: waiters are notified, and the calls of `calls.py` are started.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from ..errors import PoolTimeout
from ..events import Event, EventHook, EventKind, emit
from ..lease.claim import Claim
from ..lease.keeper import LeaseKeeper
from ..lease.place import MOST_HELD
from ..lease.waitlog import LONG_WAIT, WaitLog
from ..runtime import forks
from ..runtime.coroutines import Naps, require_asyncio
from ..runtime.executor import Executor
from ..runtime.tracing import span
from ..runtime.worker import Worker
from ..text import printable
from .calls import PoolCalls
from .model import PoolOptions, PoolStats, Slot, Ticket
from .plan import PoolPlan
from .queue import LoopWaiter, ThreadWaiter, Waiter

LOOK_AGAIN = 5.0
"""The longest sleep of a waiter, in seconds.

It looks again because it may not be notified: an interrupt may strike after it was served, or the
worker may have died, or no thread was left to start it.
"""

_SHORT_WAIT = 0.5
"""A wait of so many seconds is not logged: most leases come back sooner."""

_THREADS = 16
"""For the acquires that may be on the wire at once, and as many releases."""


class Lender:
    """Lends the slots of one pool. Safe for many threads.

    Args:
        on_event: called with the events of the pool's callers. Those of its AppIDs are the
            keeper's.
        executor: the threads for the calls to the service.
        worker: makes the worker of the maintenance rounds.
    """

    def __init__(
        self,
        keeper: LeaseKeeper,
        product_name: str,
        options: PoolOptions,
        *,
        on_event: EventHook | None = None,
        executor: Executor | None = None,
        worker: Callable[..., Worker[Slot]] = Worker,
    ) -> None:
        self.product_name = product_name
        self.keeper = keeper
        self._options = options
        self._on_event = on_event
        self._system = system = keeper.system
        self._monotonic = system.monotonic
        # The slots, the queue and the states of the tickets are guarded by the plan's own lock.
        self.plan = PoolPlan(product_name, keeper.api.base_url, options, keeper.api.clock, system)
        self._executor = executor or Executor("appid-pool", _THREADS, system)
        self._holders = executor or Executor("appid-pool-hold", MOST_HELD, system)
        self._calls = PoolCalls(
            keeper,
            self._executor,
            self._holders,
            self.plan,
            options,
            self._claim_lost,
            self.wake,
        )
        self._worker = worker(f"appid-pool {printable(product_name)}", self._round, system)
        self._naps: Naps | None = None
        self._quiet = threading.Event()
        self._forgotten = False
        forks.register(self._after_fork_in_child)
        if options.min_size:
            self.wake()

    def _after_fork_in_child(self) -> None:
        """Start with an empty pool: leases, waiters and threads are the parent's."""
        self.plan.after_fork_in_child()
        self._quiet = threading.Event()

    # --- lending

    def lend(self, ticket: Ticket) -> None:
        """Lend a slot to `ticket`; waits for one if there is none."""
        now = self._monotonic()
        plan = self.plan
        with plan.lock:
            if plan.slots.take(ticket, now):
                return
        self._wait(ThreadWaiter(ticket, now, self.deadline(ticket, now)))

    async def lend_async(self, ticket: Ticket) -> None:
        """`lend()` for coroutines: the wait holds no thread."""
        now = self._monotonic()
        plan = self.plan
        with plan.lock:
            if plan.slots.take(ticket, now):
                return
        await self._wait_async(LoopWaiter(ticket, now, self.deadline(ticket, now)))

    def renew(self, ticket: Ticket, hour_end: float, timeout: float | None) -> None:
        """Take the slot of `ticket` back, and lend it one of an hour after `hour_end`."""
        now, deadline = self.begin_renewal(ticket, hour_end, timeout)
        self._wait(ThreadWaiter(ticket, now, deadline, not_before=hour_end))

    async def renew_async(self, ticket: Ticket, hour_end: float, timeout: float | None) -> None:
        """`renew()` for coroutines: the wait holds no thread."""
        require_asyncio()
        now, deadline = self.begin_renewal(ticket, hour_end, timeout)
        await self._wait_async(LoopWaiter(ticket, now, deadline, not_before=hour_end))

    def take_back(self, ticket: Ticket, failed: bool) -> bool:
        """Take back the slot that `ticket` holds. Returns whether it held one. Never waits."""
        plan = self.plan
        with plan.lock:
            taken = plan.slots.give_back(ticket, failed)
        if taken is not True and taken is not False:  # faster than isinstance()
            self._notify(taken)
        if plan.slots.needs_decision or not self._worker.running:
            self.wake()
        return taken is not False

    def take_back_forgotten(self, slot: Slot) -> None:
        """Release a slot whose lease was garbage-collected. Takes no lock: safe in a `__del__`."""
        # The message is for the figures. The keeper releases the AppID: the worker of a closed
        # pool reads no messages any more.
        self._worker.post(slot)
        self.keeper.forget(slot.claim)

    # --- waiting, in steps: `_wait` and `_wait_async` take them, and a simulation without threads

    def deadline(self, ticket: Ticket, now: float) -> float | None:
        """When a wait ends that begins now."""
        timeout = self._options.timeout if ticket.timeout is None else ticket.timeout
        return None if timeout is None else now + timeout

    def begin_renewal(
        self, ticket: Ticket, hour_end: float, timeout: float | None
    ) -> tuple[float, float | None]:
        """Take the slot of `ticket` back. Returns the time, and the deadline of the wait.

        Without a `timeout` the time until the hour turns does not count.
        """
        self.take_back(ticket, False)
        now = self._monotonic()
        if timeout is not None:
            deadline: float | None = now + timeout
        else:
            to_the_turn = max(0.0, self.keeper.api.clock.seconds_until(hour_end))
            deadline = self.deadline(ticket, now + to_the_turn)
        return now, deadline

    def enqueue(self, waiter: Waiter) -> bool:
        """Queue a waiter. Returns whether it was served at once.

        That happens if the idle lease that it could not take was only overdue.
        """
        plan = self.plan
        overdue = [
            slot.claim
            for slot in tuple(plan.slots.idle)
            if slot.beat_within is not None and self.keeper.overdue(slot.claim)
        ]
        now = self._monotonic()
        with plan.lock:
            if overdue and not waiter.not_before and plan.slots.take(waiter.ticket, now):
                return True
            plan.enqueue(waiter, now)
        if plan.slots.needs_decision or not self._worker.running:
            self.wake()
        return False

    def _wait(self, waiter: ThreadWaiter) -> None:
        try:
            if self.enqueue(waiter):
                return
            log = WaitLog(self.product_name)
            with self._span():
                while not waiter.done and (left := self._left(waiter, log)) > 0:
                    waiter.wait(left)
                    self._ensure_worker()
                self.conclude(waiter)
        except BaseException as error:
            self.stop_waiting(waiter)
            self._report(error)
            raise

    async def _wait_async(self, waiter: LoopWaiter) -> None:
        try:
            if self.enqueue(waiter):
                return
            log = WaitLog(self.product_name)
            with self._span():
                while not waiter.done and (left := self._left(waiter, log)) > 0:
                    if left == _SHORT_WAIT:
                        await self._nap(waiter)
                    else:
                        await waiter.wait(left)
                    self._ensure_worker()
                self.conclude(waiter)
        except BaseException as error:
            self.stop_waiting(waiter)
            self._report(error)
            raise

    def _nap(self, waiter: LoopWaiter) -> asyncio.Future[None]:
        """Returns what resolves when `waiter` is notified, or after a short wait."""
        naps = self._naps
        if naps is None or naps.loop is not waiter.loop:
            naps = self._naps = Naps(waiter.loop, _SHORT_WAIT)
        sleeper = waiter.to_sleep()
        naps.begin(sleeper)
        return sleeper

    def _span(self) -> AbstractContextManager[object]:
        return span("wait", service=self.keeper.api.base_url, product=self.product_name)

    def _report(self, error: BaseException) -> None:
        """Emit an event if a wait ended because no AppID became free in time."""
        if isinstance(error, PoolTimeout):
            service = self.keeper.api.base_url
            event = Event(EventKind.EXHAUSTED, service, self.product_name, seconds=error.waited)
            emit(self._on_event, event)

    def _left(self, waiter: Waiter, log: WaitLog) -> float:
        """Log what a waiter waits for, unless it has just begun.

        Returns the seconds to sleep before it looks again; not positive after its deadline.
        """
        now = self._monotonic()
        waited = now - waiter.since
        left = None if waiter.deadline is None else waiter.deadline - now
        if waited < _SHORT_WAIT:
            pause = _SHORT_WAIT
        else:
            self._log_wait(waiter, log, now, left)
            # To look exactly when the wait becomes a long one.
            pause = LONG_WAIT - waited if 0 < LONG_WAIT - waited < LOOK_AGAIN else LOOK_AGAIN
        return pause if left is None else min(pause, left)

    def _log_wait(self, waiter: Waiter, log: WaitLog, now: float, left: float | None) -> None:
        plan = self.plan
        with plan.lock:
            if waiter.done:
                return
            reason, available_at = plan.outlook.of(waiter, now)
        waited = now - waiter.since
        if available_at is None:
            log.no_end(waited, reason, left)
        else:
            seconds = self.keeper.api.clock.seconds_until(available_at)
            log.until(waited, seconds, reason, available_at)

    def _ensure_worker(self) -> None:
        if not self._worker.running and not self.plan.slots.closed:
            self.wake()

    def stop_waiting(self, waiter: Waiter) -> None:
        """The wait ended with an error: the caller's own, an interrupt, or a cancellation.

        If the waiter was served meanwhile, its lease gives the slot back.
        """
        with self.plan.lock:
            self.plan.stop_waiting(waiter)

    def conclude(self, waiter: Waiter) -> None:
        """End a wait. Raises the waiter's error, or a `PoolTimeout` if its deadline passed."""
        if waiter.served:
            return
        plan = self.plan
        with plan.lock:
            if waiter.served:
                return
            error = waiter.error
            if error is None:
                plan.stop_waiting(waiter)
                error = plan.timed_out(waiter, self._monotonic())
        raise error

    def _notify(self, waiter: Waiter) -> None:
        if not waiter.notify() and waiter.served:
            self.take_back(waiter.ticket, False)

    # --- maintenance

    def wake(self) -> None:
        """Wake the worker. A closed pool has none: run the round here."""
        if self.plan.slots.closed:
            self.run_once()
        else:
            self._worker.wake()

    def run_once(self) -> float | None:
        """Run one maintenance round.

        Returns the seconds until the next round, or `None` if none is scheduled.
        """
        plan = self.plan
        now = self._monotonic()
        with plan.lock:
            decision = plan.decide(now)
        for waiter in decision.notify:
            self._notify(waiter)
        self._calls.start(decision)
        with plan.lock:
            if not plan.slots.closed or plan.busy:
                return decision.pause
            empty = not len(plan.slots)
        self._quiet.set()
        if empty:
            # Not before: without the executor's threads, the caller who gives the last lease back
            # would have to wait for the service.
            self._close_executors()
        return None

    def _close_executors(self) -> None:
        self._executor.close()
        self._holders.close()

    def _round(self, forgotten: Slot | None) -> float | None:
        if self._forgotten:
            # Its garbage-collection can take long: the threads must not wait for it.
            self._close_executors()
            self._worker.stop()
            return None
        if forgotten is not None:
            with self.plan.lock:
                self.plan.slots.retire_forgotten(forgotten)
        return self.run_once()

    def _claim_lost(self, claim: Claim, reason: str) -> None:
        """The keeper says, on any thread, that a claim ended before it was given back."""
        with self.plan.lock:
            self.plan.slots.lost(claim, reason)
        self.wake()

    def stats(self) -> PoolStats:
        """The statistics at this time."""
        with self.plan.lock:
            return self.plan.stats(self._monotonic(), maintained=self._worker.running)

    # --- the end

    @property
    def closed(self) -> bool:
        """Whether no leases are handed out any more."""
        return self.plan.slots.closed

    def close(self) -> None:
        """Hand out no more leases, wake all waiters, and start to release what is idle."""
        with self.plan.lock:
            self.plan.close()
        self.run_once()

    def join(self, timeout: float) -> bool:
        """Wait until all that was idle is released, and the worker has ended.

        Takes at most about `timeout` seconds. Returns whether all was released.
        """
        deadline = self._monotonic() + timeout
        released = self._system.wait(self._quiet, timeout)
        self._worker.stop()
        self._worker.join(max(0.1, deadline - self._monotonic()))
        return released

    def forget(self) -> int:
        """The pool was garbage-collected: end the worker, and release what is idle.

        Takes no lock: safe in a `__del__`. Returns the number of AppIDs.
        """
        self.plan.slots.closed = True
        self._forgotten = True
        self._worker.post(None)
        held = [slot.claim for slot in self.plan.slots.idle if slot.claim.pid == os.getpid()]
        for claim in held:
            self.keeper.forget(claim)
        if not self._worker.running:
            # No round will close the executor. Without these references in a circle, it is
            # garbage-collected now, and its threads end with it.
            del self._calls, self._worker
        return len(held)

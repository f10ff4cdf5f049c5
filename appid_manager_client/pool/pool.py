"""A pool of leases of one product: within an hour one AppID serves many checkouts, and the turn of the hour burns none.

Carries out what `pool_plan.py` decides: helper threads talk to the service, a thread of `pool_maintenance.py` keeps the
time, and nothing but decisions is made under the pool's lock.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any

from ..checks import check_seconds
from ..lease.claim import Claim
from ..lease.keeper import EXIT_TIMEOUT, LeaseKeeper
from ..runtime import forks
from ..runtime.executor import Executor
from ..runtime.worker import Worker
from .calls import Asked, PoolCalls, as_error
from .lease import PooledLease
from .model import PoolOptions, PoolStats, Slot
from .plan import PoolPlan, Todo
from .queue import LoopWaiter, ThreadWaiter, Waiter

logger = logging.getLogger("appid_manager_client")

_HELPERS = 16
_LOOK_AGAIN = 5.0


class LeasePool:
    """Leases of one product that are handed from caller to caller. Made by `AppIdClient.pool()`; safe for many threads.

    The pool holds as many AppIDs as are needed at once. Shortly before the hour turns it gives back what is idle, so
    that nothing is burned, has callers wait over the turn, and then gets fresh ones. `docs/hour.md` has the picture.

        with client.pool("stt_billing", max_size=8) as pool:
            with pool.lease() as lease:
                transcribe(lease.appid, lease.vid)
    """

    __module__ = "appid_manager_client"

    def __init__(
        self,
        keeper: LeaseKeeper,
        product_name: str,
        options: PoolOptions,
        *,
        executor: Executor | None = None,
        threaded: bool = True,
    ) -> None:
        self.product_name = product_name
        self._keeper = keeper
        self._options = options
        self._calls = PoolCalls(keeper, product_name, options)
        self._system = keeper.system
        self._monotonic = keeper.system.monotonic
        self._executor = executor or Executor("appid-pool", _HELPERS, keeper.system)
        self._threaded = threaded
        self._start_afresh()
        forks.register(self)
        if options.min_size:
            self._wake()

    def _start_afresh(self) -> None:
        api = self._keeper.api
        self._lock = threading.Lock()
        # Guarded by _lock: the plan and all that it holds, and the states of its leases.
        self._plan = PoolPlan(
            self.product_name, api.base_url, self._options, api.clock, self._system
        )
        self._maintenance: Worker[Slot] = Worker(
            f"appid-pool {self.product_name}", self._maintain, self._system, weakly=True
        )
        self._quiet = threading.Event()

    def after_fork_in_child(self) -> None:
        # The leases are the parent's, as are its waiters and its thread: the child's pool is empty.
        closed = self._plan.closed
        self._start_afresh()
        self._plan.closed = closed

    # --- for users

    def lease(self, *, timeout: float | None = None, min_remaining: float = 0.0) -> PooledLease:
        """A lease of the pool, to be entered with `with` or `async with`.

        Args:
            timeout: seconds to wait for one; `None`: the pool's; 0: only one that is there. When nothing can be there
                in time, the error comes at once and says when.
            min_remaining: seconds that must be left of the hour when the block starts; with less, the next hour is
                waited for. Less than an hour.

        Raises:
            ValueError, TypeError: an argument is wrong.
        """
        if timeout is not None:
            check_seconds(timeout, "timeout")
        if min_remaining:
            check_seconds(min_remaining, "min_remaining")
        return PooledLease(self, timeout, min_remaining)

    def get_stats(self) -> PoolStats:
        """The pool's figures at this moment."""
        with self._lock:
            return self._plan.stats(self._monotonic(), maintained=self._maintenance.running)

    @property
    def closed(self) -> bool:
        """Whether the pool was closed."""
        return self._plan.closed

    def close(self, timeout: float = EXIT_TIMEOUT) -> None:
        """Hand out no more leases, wake all that wait with `PoolClosed`, and give back what is idle.

        What is checked out is given back when it returns; nobody waits for that. Takes about `timeout` seconds at the
        most; what can't be delivered by then is retried by the client in the background.
        """
        deadline = self._monotonic() + check_seconds(timeout, "timeout")
        with self._lock:
            self._plan.close()
        self.tend()
        if not self._system.wait(self._quiet, deadline - self._monotonic()):
            logger.warning(
                "the pool of %s was closed before all was given back; the client goes on with it",
                self.product_name,
            )
        self._maintenance.stop()
        self._maintenance.join(max(0.1, deadline - self._monotonic()))

    def __enter__(self) -> LeasePool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> LeasePool:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        stats = self.get_stats()
        state = "closed" if stats.closed else "open"
        return (
            f"<LeasePool of {self.product_name!r} {state}: {stats.idle} idle, {stats.checked_out} checked out, "
            f"{stats.waiting} waiting>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a LeasePool can't be pickled: make one in each process")

    def __del__(self) -> None:
        # No lock, no network, no join in here. A lease that is out keeps its pool, so all that is left is idle.
        plan = getattr(self, "_plan", None)
        if plan is None:
            return
        plan.closed = True
        self._maintenance.stop()  # even where a warning's record keeps this object
        held = [slot.claim for slot in plan.idle if slot.claim.pid == os.getpid()]
        for claim in held:
            self._keeper.forget(claim)
        if held:
            warnings.warn(
                f"a pool of {self.product_name} was forgotten while it held {len(held)} AppIDs; close() it",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    # --- lending

    def _lend(self, lease: PooledLease) -> None:
        now = self._monotonic()
        with self._lock:
            if self._plan.take(lease, now):
                return
        self._wait(ThreadWaiter(lease, now, self._deadline(lease, now)))

    def _wait(self, waiter: ThreadWaiter) -> None:
        if self._enqueue(waiter):
            return
        try:
            while not waiter.done and (left := self._left(waiter)) > 0:
                waiter.wait(left)
                self._see_to_maintenance()
        except BaseException:
            self._give_up(waiter)
            raise
        self._conclude(waiter)

    async def _lend_async(self, lease: PooledLease) -> None:
        now = self._monotonic()
        with self._lock:
            if self._plan.take(lease, now):
                return
        await self._wait_async(LoopWaiter(lease, now, self._deadline(lease, now)))

    async def _wait_async(self, waiter: LoopWaiter) -> None:
        if self._enqueue(waiter):
            return
        try:
            while not waiter.done and (left := self._left(waiter)) > 0:
                await asyncio.wait([waiter.future], timeout=left)
                self._see_to_maintenance()
        except BaseException:
            self._give_up(waiter)
            raise
        self._conclude(waiter)

    def _renew(self, lease: PooledLease, timeout: float | None) -> None:
        now, deadline = self._begin_renewal(lease, timeout)
        try:
            self._wait(ThreadWaiter(lease, now, deadline))
        finally:
            lease._later_than = 0.0

    async def _renew_async(self, lease: PooledLease, timeout: float | None) -> None:
        now, deadline = self._begin_renewal(lease, timeout)
        try:
            await self._wait_async(LoopWaiter(lease, now, deadline))
        finally:
            lease._later_than = 0.0

    def _begin_renewal(
        self, lease: PooledLease, timeout: float | None
    ) -> tuple[float, float | None]:
        hour_end = lease.hour_end
        self._take_back(lease, False)
        now = self._monotonic()
        if timeout is not None:
            deadline: float | None = now + timeout
        else:
            to_the_turn = max(0.0, self._keeper.api.clock.seconds_until(hour_end))
            deadline = self._deadline(lease, now + to_the_turn)
        lease._later_than = hour_end
        return now, deadline

    def _take_back(self, lease: PooledLease, failed: bool) -> bool:
        plan = self._plan
        with self._lock:
            taken = plan.put_back(lease, failed)
        if taken is not True and taken is not False:
            self._tell(taken)
        if plan.restless or not self._maintenance.running:
            self._wake()
        return taken is not False

    def _take_back_forgotten(self, slot: Slot) -> None:
        # For the figures; the AppID itself goes back by the keeper: a closed pool's thread reads no message any more.
        self._maintenance.post(slot)
        self._keeper.forget(slot.claim)

    def _deadline(self, lease: PooledLease, now: float) -> float | None:
        timeout = self._options.timeout if lease._timeout is None else lease._timeout
        return None if timeout is None else now + timeout

    def _left(self, waiter: Waiter) -> float:
        """Seconds to wait before looking again: an interrupt may have struck between serving somebody and telling.

        And the maintenance thread may have died, or not have been started for want of memory.
        """
        if waiter.deadline is None:
            return _LOOK_AGAIN
        return min(_LOOK_AGAIN, waiter.deadline - self._monotonic())

    def _enqueue(self, waiter: Waiter) -> bool:
        """Have `waiter` wait; or see that it needn't, as the lease in its way was only overdue."""
        overdue = [
            slot.claim
            for slot in tuple(self._plan.idle)
            if slot.beat_within is not None and self._keeper.overdue(slot.claim)
        ]
        now = self._monotonic()
        with self._lock:
            if overdue and self._plan.take(waiter.lease, now):
                return True
            self._plan.enqueue(waiter, now)
        if self._plan.restless or not self._maintenance.running:
            self._wake()
        return False

    def _see_to_maintenance(self) -> None:
        """On behalf of somebody who waits."""
        if not self._maintenance.running and not self._plan.closed:
            self._wake()

    def _conclude(self, waiter: Waiter) -> None:
        """The end of a wait. Raises what `waiter` was told, or that its time is over."""
        with self._lock:
            if waiter.served:
                return
            error = waiter.error
            if error is None:
                self._plan.stop_waiting(waiter)
                error = self._plan.timed_out(waiter, self._monotonic())
        raise error

    def _give_up(self, waiter: Waiter) -> None:
        """`waiter` was interrupted or cancelled. What it has been served meanwhile, its lease gives back."""
        with self._lock:
            self._plan.stop_waiting(waiter)

    def _tell(self, waiter: Waiter) -> None:
        if not waiter.tell() and waiter.served:
            self._take_back(waiter.lease, False)

    # --- maintenance

    def tend(self) -> float | None:
        """Decide, and set going, all that is due; says in how many seconds there is more to do, or `None`."""
        now = self._monotonic()
        with self._lock:
            todo = self._plan.decide(now)
        self._carry_out(todo)
        with self._lock:
            if not self._plan.closed or self._plan.busy:
                return todo.pause
            empty = not self._plan.slots
        self._quiet.set()
        if empty:
            # Not before: without helpers, who brings back the last lease would have to wait for the service.
            self._executor.close()
        return None

    def _carry_out(self, todo: Todo) -> None:
        for waiter in todo.tell:
            self._tell(waiter)
        for slot in todo.give_back:
            self._begin(partial(self._keeper.try_release, slot.claim), self._settled, slot)
        for claim in todo.give_up:
            self._keeper.give_up(claim)
        for wanted in todo.ask:
            self._begin(partial(self._calls.ask, wanted, self._may_ask, self), self._asked, wanted)
        if todo.learn:
            self._begin(self._calls.learn_hours, self._learnt, None)
        if todo.look:
            self._begin(self._calls.look_at_the_clock, self._learnt, None)

    def _begin(
        self, work: Callable[[], Any], then: Callable[[Any, Future[Any]], None], subject: Any
    ) -> None:
        def finish(future: Future[Any]) -> None:
            then(subject, future)
            self._wake()

        try:
            future = self._executor.submit(work)
        except Exception as error:
            future = Future()
            future.set_exception(error)
        future.add_done_callback(finish)

    def _may_ask(self, now: float) -> bool:
        with self._lock:
            return self._plan.may_ask(now)

    def _asked(self, parked: Claim | None, future: Future[Asked]) -> None:
        failure = future.exception()
        asked = Asked(parked, 0.0, error=as_error(failure)) if failure else future.result()
        now = self._monotonic()
        with self._lock:
            before = self._plan.asking.standing
            if asked.hour_end is not None and asked.claim is not None:
                self._plan.granted(asked.claim, asked.hour_end, now)
            else:
                self._plan.refused(asked.claim, asked.refusal, asked.error, asked.sent, now)
            after = self._plan.asking.standing
        self._calls.report(asked.error, before, after)

    def _learnt(self, _: None, future: Future[Any]) -> None:
        failure = future.exception()
        error = None if failure is None else as_error(failure)
        with self._lock:
            before = self._plan.asking.standing
            self._plan.learnt(error, self._monotonic())
            after = self._plan.asking.standing
        self._calls.report(error, before, after)

    def _settled(self, slot: Slot, future: Future[Any]) -> None:
        with self._lock:
            self._plan.settled(slot)

    def claim_lost(self, claim: Claim, reason: str) -> None:
        """The keeper's word, on any thread."""
        with self._lock:
            self._plan.lost(claim, reason)
        self._wake()

    def _maintain(self, forgotten: Slot | None) -> float | None:
        """One round of the maintenance thread."""
        if forgotten is not None:
            with self._lock:
                self._plan.put_back_forgotten(forgotten)
        return self.tend()

    def _wake(self) -> None:
        """Have somebody look at what there is to do."""
        if not self._threaded:
            return
        if self._plan.closed:
            self.tend()
        else:
            self._maintenance.wake()

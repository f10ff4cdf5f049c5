"""A world for pools on a simulated clock: a service in memory, and no threads.

The pool, its keeper and the reading of answers are the real ones. A call takes time until it is
begun, on the wire, and until its end is noticed. `run` carries events out in the order of time. It
runs a maintenance round of a pool after each event that woke its worker, and whenever one is due.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Self

from appid_manager_client.lease.keeper import LeaseKeeper
from appid_manager_client.pool.lease import PooledLease
from appid_manager_client.pool.lender import Lender
from appid_manager_client.pool.model import PoolOptions, Slot
from appid_manager_client.pool.plan import PoolPlan
from appid_manager_client.pool.pool import LeasePool
from appid_manager_client.pool.queue import Waiter
from appid_manager_client.runtime.executor import Executor
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.runtime.worker import Worker
from appid_manager_client.wire.api import ServiceApi
from appid_manager_client.wire.clock import ServerClock
from tests.support.poolservice import EPOCH, PRODUCT, SimulatedService, SimulatedWire, TurnedTime
from tests.support.threadless import IdleWorker, InlineExecutor

HOUR = 3600.0


class TurnedWorker(Worker[Slot]):
    """A worker without a thread: the world runs its rounds."""

    def __init__(self, name: str, work: Callable[[Slot | None], float | None], system: SystemTime):
        super().__init__(name, work, system)
        self._work_of_a_round = work
        self._clock = system
        self.running = True
        self.rounds = 0
        self.woken = True
        self.due = math.inf

    def wake(self) -> None:
        self.woken = True

    @property
    def has_work(self) -> bool:
        return self.woken or self.due <= self._clock.monotonic()

    def run_once(self) -> None:
        self.woken = False
        self.rounds += 1
        pause = self._work_of_a_round(None)
        self.due = math.inf if pause is None else self._clock.monotonic() + pause


class World(Executor):
    """See the module. It stands in for the pool's executor, too."""

    def __init__(
        self,
        *,
        seed: int | str = 0,
        appids: int = 10,
        extended: bool = True,
        skew: float = 0.0,
        zone_minutes: int = 0,
        hour_seconds: int = 3600,
    ) -> None:
        self.chances = random.Random(seed)
        self.time = TurnedTime(self.chances)
        self.skew = skew
        self.wire = SimulatedWire(self.time, self.chances)
        self.service = self.wire.service = SimulatedService(
            self.service_ms,
            appids,
            extended=extended,
            zone_minutes=zone_minutes,
            hour_seconds=hour_seconds,
        )
        self.clock = ServerClock(self.time)
        self.api = ServiceApi(self.wire, self.clock)
        self.keeper = LeaseKeeper(
            self.api,
            self.time,
            executor=InlineExecutor(self.time),
            worker=IdleWorker(self.time),
        )
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._lenders: dict[LeasePool, Lender] = {}
        self.workers: dict[LeasePool, TurnedWorker] = {}
        self.served: list[Waiter] = []
        self._keeping = False
        self._callers: list[Caller] = []
        self.dawdle = 0.002
        """How long a call may take to be begun, and its end to be noticed."""

    # --- time

    def service_ms(self) -> int:
        return int((EPOCH + self.time.now + self.skew) * 1000)

    @property
    def to_the_turn(self) -> float:
        """Seconds to the service's next turn of the hour."""
        end = self.service.hour_start() / 1000 + self.service.hour_ms / 1000
        return end - (EPOCH + self.time.now + self.skew)

    def at(self, moment: float, event: Callable[[], object]) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), event))

    def after(self, seconds: float, event: Callable[[], object]) -> None:
        self.at(self.time.now + seconds, event)

    def run(self, seconds: float) -> None:
        """Have the next `seconds` pass."""
        end = self.time.now + seconds
        workers = self.workers.values()
        for worker in workers:
            self._run_round(worker)
        while True:
            moment = min([end, *(worker.due for worker in workers)])
            if self._events and self._events[0][0] <= moment:
                moment, _, event = heapq.heappop(self._events)
                self.time.now = max(self.time.now, moment)
                event()
            elif moment >= end:
                self.time.now = max(self.time.now, end)
                return
            else:
                self.time.now = max(self.time.now, moment)
            for worker in workers:
                if worker.has_work:
                    self._run_round(worker)

    def _run_round(self, worker: TurnedWorker) -> None:
        worker.run_once()
        self._have_keeper_run()

    # --- the pool's executor

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        chances = self.chances

        def begin() -> None:
            try:
                result = work()
            except Exception as error:
                self.after(self.dawdle * chances.random(), partial(future.set_exception, error))
            else:
                self.after(self.dawdle * chances.random(), partial(future.set_result, result))
            self._have_keeper_run()

        self.after(self.dawdle * chances.random(), begin)
        return future

    def _have_keeper_run(self) -> None:
        if not self._keeping and self.keeper.pending:
            self._keeping = True
            self.after(0.01, self._keep)

    def _keep(self) -> None:
        pause = self.keeper.run_once()
        self._keeping = bool(self.keeper.pending) and pause is not None
        if self._keeping:
            self.after(max(0.01, pause or 0.0), self._keep)

    def close(self, timeout: float = 0.0) -> None:
        """There are no threads to end."""

    # --- pools and their callers

    def pool(self, **options: Any) -> LeasePool:
        """A pool of this world. Its leases send no heartbeats unless a `ttl` is given."""
        made: list[TurnedWorker] = []

        def worker(*args: Any) -> TurnedWorker:
            made.append(TurnedWorker(*args))
            return made[0]

        lender = Lender(
            self.keeper,
            PRODUCT,
            PoolOptions(**{"ttl": None, **options}),
            executor=self,
            worker=worker,
        )
        pool = LeasePool(lender)
        self._lenders[pool] = lender
        self.workers[pool] = made[0]
        return pool

    def plan_of(self, pool: LeasePool) -> PoolPlan:
        return self._lenders[pool].plan

    def close_pool(self, pool: LeasePool) -> None:
        """`pool.close()`, but nobody waits for the releases."""
        self._lenders[pool].close()

    def enqueue(self, pool: LeasePool, waiter: Waiter) -> bool:
        """What a caller does that found nothing idle. Says whether it was served at once."""
        return self._lenders[pool].enqueue(waiter)

    def ask(
        self,
        pool: LeasePool,
        *,
        timeout: float | None = None,
        min_remaining: float = 0.0,
        then: Callable[[Caller], object] = lambda caller: None,
    ) -> Caller:
        """Somebody wants a lease now, and `then` happens when they have one, or an error."""
        lease = pool.lease(timeout=timeout, min_remaining=min_remaining)
        caller = Caller(self, self._lenders[pool], lease, then)
        self._callers.append(caller)
        return caller

    def have(self, pool: LeasePool, count: int = 1) -> list[Caller]:
        """Callers who have an AppID each."""
        callers = [self.ask(pool) for _ in range(count)]
        self.run(1.0)
        assert all(caller.served for caller in callers)
        return callers

    def use(self, pool: LeasePool, count: int = 1) -> list[Caller]:
        """Callers who had an AppID each, at the same time, and gave it back."""
        callers = self.have(pool, count)
        for caller in callers:
            caller.give_back()
        return callers

    def ask_again(
        self, lender: Lender, lease: PooledLease, then: Callable[[Caller], object]
    ) -> Caller:
        """The holder of a lease renews it."""
        caller = Caller(self, lender, lease, then, renewing=True)
        self._callers.append(caller)
        return caller

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Give everything back, so that nothing is missed when it is garbage-collected."""
        self.wire.faults = self.wire.down_until = self.wire.lose_next = 0
        for caller in self._callers:
            caller.give_back()
        for lender in self._lenders.values():
            lender.close()
        self.keeper.close()


class Caller(Waiter):
    """Somebody who wants a lease, and waits for it without a thread."""

    def __init__(
        self,
        world: World,
        lender: Lender,
        lease: PooledLease,
        then: Callable[[Caller], object],
        *,
        renewing: bool = False,
    ) -> None:
        if renewing:
            not_before = lease.hour_end
            now, deadline = lender.begin_renewal(lease, not_before, None)
        else:
            not_before = 0.0
            now = world.time.now
            deadline = lender.deadline(lease, now)
        super().__init__(lease, now, deadline, not_before)
        self.lease = lease
        self.world = world
        self._lender = lender
        self._then = then
        try:
            if (not renewing and lender.plan.slots.take(lease, now)) or lender.enqueue(self):
                self.served = True
                self.notify()
                return
        except Exception as error:
            self.error = error
            self.notify()
            return
        if self.deadline is not None:
            world.at(self.deadline, self._out_of_time)

    def notify(self) -> bool:
        if self.served:
            self.world.served.append(self)
        self._then(self)
        return True

    def give_back(self, failed: bool = False) -> None:
        self._lender.take_back(self.lease, failed)

    def renew(self, then: Callable[[Caller], object] = lambda caller: None) -> Caller:
        """Give the AppID back and wait for one of the next hour: a new caller, the same lease."""
        return self.world.ask_again(self._lender, self.lease, then)

    def leave(self) -> None:
        """Stop waiting."""
        if not self.done:
            self._lender.stop_waiting(self)
            self.error = InterruptedError()

    def _out_of_time(self) -> None:
        if not self.done:
            try:
                self._lender.conclude(self)
            except Exception as error:
                self.error = error
                self.notify()


MakeWorld = Callable[..., World]
"""Makes a world in which the hour turns in so many seconds; keywords as of `World`."""

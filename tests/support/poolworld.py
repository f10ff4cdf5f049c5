"""A world for pools in turned time: a service in memory, a wire with delays and faults, no threads.

The pool, its keeper and the reading of answers are the real ones. A call takes time until it is
begun, on the wire, and until its end is noticed. `run` carries events out in the order of time. It
runs a maintenance round of a pool after each event that woke its worker, and whenever one is due.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from appid_manager_client.errors import ServiceUnavailable
from appid_manager_client.lease.keeper import LeaseKeeper
from appid_manager_client.pool.lease import PooledLease
from appid_manager_client.pool.lender import Lender
from appid_manager_client.pool.model import PoolOptions, Slot
from appid_manager_client.pool.pool import LeasePool
from appid_manager_client.pool.queue import Waiter
from appid_manager_client.runtime.executor import Executor
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.runtime.worker import Worker
from appid_manager_client.wire.answers import Answer
from appid_manager_client.wire.api import ServiceApi
from appid_manager_client.wire.clock import ServerClock
from tests.support.threadless import IdleWorker, InlineExecutor

PRODUCT = "p"
EPOCH = 1_700_000_000.0
"""Where the service's clock stands when the machine's monotonic one is 0, apart from the skew."""


class TurnedTime(SystemTime):
    """A machine whose clock is turned by hand, and whose random numbers come from a seed."""

    def __init__(self, chances: random.Random) -> None:
        self.now = 0.0
        self._chances = chances

    def monotonic(self) -> float:
        return self.now

    def uniform(self, low: float, high: float) -> float:
        return self._chances.uniform(low, high)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        raise AssertionError("nothing waits in turned time")


@dataclass
class Lent:
    """One grant of the service. Times are in ms on its clock; `hour` is the start of the hour."""

    appid: str
    hour: int
    start: int
    lease_id: str
    request_id: str
    stop: int | None = None


_IDS = ("leaseId", "requestId", "appid")


class FailedRelease(NamedTuple):
    """A release that never reached the service: what it named, and when (ms, service's clock)."""

    ids: frozenset[str]
    at: int


class SimulatedService:
    """The rule of the hour, and the calls of the wire contract that a pool makes."""

    def __init__(
        self,
        now_ms: Callable[[], int],
        appids: int,
        *,
        extended: bool = True,
        zone_minutes: int = 0,
        hour_seconds: int = 3600,
    ) -> None:
        self.now_ms = now_ms
        self._zone = zone_minutes * 60_000
        self.hour_ms = hour_seconds * 1000
        self.extended = extended
        self.ttl: float | None = None
        self._free: OrderedDict[str, None] = OrderedDict((f"a{n}", None) for n in range(appids))
        self._used: list[str] = []
        self._used_in = self.hour_start()
        self._in_use: dict[str, Lent] = {}
        self._by_request: dict[str, Lent | None] = {}
        self.log: list[Lent] = []
        self.calls = 0
        self.error: tuple[int, str] | None = None
        """What every call but `/health` is answered, where it is set."""

    def hour_start(self, at: int | None = None) -> int:
        local = (self.now_ms() if at is None else at) + self._zone
        return local - local % self.hour_ms - self._zone

    def shift_zone(self, minutes: int) -> None:
        """Shift the zone, as some zones do in summer."""
        self._zone += minutes * 60_000

    @property
    def in_use(self) -> list[str]:
        return sorted(self._in_use)

    def call(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        self.calls += 1
        if path == "/health":
            return 200, self._health()
        if self.error is not None:
            return self.error[0], {"error": self.error[1], "message": "by the test"}
        return getattr(self, "_" + path.rpartition("/")[2])(body)

    def _health(self) -> dict[str, Any]:
        now = self.now_ms()
        body: dict[str, Any] = {"status": "healthy", "timestamp": now}
        if self.extended:
            body |= {"hourStart": self.hour_start(), **self._times(now)}
        return body

    def _times(self, now: int) -> dict[str, int]:
        return {"serverTime": now, "hourEnd": self.hour_start() + self.hour_ms}

    def _acquire(self, body: Any) -> tuple[int, dict[str, Any]]:
        now, hour = self.now_ms(), self.hour_start()
        if self._used_in != hour:
            self._free.update((appid, None) for appid in self._used)
            self._used, self._used_in = [], hour
        request = body["requestId"]
        lent = self._by_request.get(request) if self.extended else None
        if self.extended and request in self._by_request and (lent is None or lent.stop):
            code = "request_abandoned" if lent is None else "request_ended"
            return 409, {"error": code, "message": ""}
        if lent is None:
            if not self._free:
                return 202, self._wait(now)
            appid = self._free.popitem(last=False)[0]
            lent = Lent(appid, hour, now, f"lease-{len(self.log)}", request)
            self.log.append(lent)
            self._in_use[appid] = self._by_request[request] = lent
        answer = {
            "appid": lent.appid,
            "vid": int(lent.appid[1:]),
            "productName": PRODUCT,
            "starttime": lent.start,
        }
        if self.extended:
            answer |= {"leaseId": lent.lease_id, "expiresAt": None, **self._times(now)}
        return 200, answer

    def _wait(self, now: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "error": "no_available" if self._used else "waiting",
            "retry_after": 60,
            "message": "",
        }
        if self.extended:
            body |= {"availableAt": self.hour_start() + self.hour_ms, **self._times(now)}
        return body

    def _release(self, body: Any) -> tuple[int, dict[str, Any]]:
        if "requestId" in body:
            if not self.extended:
                return 400, {"error": "missing_appid", "message": ""}
            lent = self._by_request.setdefault(body["requestId"], None)
        else:
            lent = self._in_use.get(body["appid"])
            if lent is None or (self.extended and lent.lease_id != body.get("leaseId")):
                return 400, {"error": "already_released", "message": ""}
        now = self.now_ms()
        if lent is not None and lent.stop is None:
            self.end(lent, now)
        return 200, {
            "success": True,
            "stoptime": now,
            "appid": None if lent is None else lent.appid,
            "productName": PRODUCT,
        }

    def add(self, appid: str) -> None:
        """Add a free AppID, as `init` can."""
        self._free[appid] = None

    def drop_product(self) -> None:
        """Forget the product and all of its AppIDs."""
        self._free.clear()
        self._in_use.clear()

    def end(self, lent: Lent, now: int) -> None:
        """Take an AppID back."""
        lent.stop = now
        del self._in_use[lent.appid]
        if self._used_in != self.hour_start():
            self._free.update((appid, None) for appid in self._used)
            self._used, self._used_in = [], self.hour_start()
        self._used.append(lent.appid)

    def _status(self, body: Any) -> tuple[int, dict[str, Any]]:
        used = set(self._used) if self._used_in == self.hour_start() else set()
        appids = sorted({*self._free, *self._used, *self._in_use})
        entries = [
            {
                "appid": appid,
                "vid": int(appid[1:]),
                "productName": PRODUCT,
                "status": (
                    "in_use"
                    if appid in self._in_use
                    else "used_in_current_hour" if appid in used else "available"
                ),
                "is_available": appid not in self._in_use and appid not in used,
                "starttime": self._in_use[appid].start if appid in self._in_use else None,
                "stoptime": None,
                "current_hour": self.hour_start(),
            }
            for appid in appids
        ]
        free = sum(entry["is_available"] for entry in entries)
        total = len(entries)
        return 200, {
            "total": total,
            "available": free,
            "in_use": total - free,
            "released": 0,
            "appids": entries,
        }

    def _heartbeat(self, body: Any) -> tuple[int, dict[str, Any]]:
        alive = {lent.lease_id for lent in self._in_use.values()}
        return 200, {
            "renewed": {lease: None for lease in body["leaseIds"] if lease in alive},
            "lost": [lease for lease in body["leaseIds"] if lease not in alive],
        }


class SimulatedWire:
    """Stands in for the transport. A call takes time, and may fail on its way there or back."""

    base_url = "http://simulated"
    timeout = 5.0

    def __init__(self, time: TurnedTime, chances: random.Random) -> None:
        self._time = self.system = time
        self._chances = chances
        self.service: SimulatedService
        self.delay = 0.004
        self.faults = 0.0
        """The part of the calls that fail, half of them after the service has acted."""
        self.down_until = 0.0
        self.lose_next = 0
        """How many answers of acquires get lost next."""
        self.failed_releases: list[FailedRelease] = []

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Any = None,
        authenticated: bool = True,
    ) -> Answer:
        time, chances = self._time, self._chances
        sent = time.now
        time.now += self.delay * chances.random()
        down = time.now < self.down_until
        fault = chances.random() < self.faults
        # A field service can't tell later what it granted in a lost answer: none is lost there.
        keeps = path.endswith("acquire") and not self.service.extended
        if down or (fault and (keeps or chances.random() < 0.5)):
            if path.endswith("release"):
                ids = frozenset(str(body[key]) for key in _IDS if key in body)
                self.failed_releases.append(FailedRelease(ids, self.service.now_ms()))
            reason = "down" if down else "refused"
            raise ServiceUnavailable(reason, service=self.base_url, maybe_received=False)
        status, answer = self.service.call(method, path, body)
        time.now += self.delay * chances.random()
        if path.endswith("acquire") and self.lose_next:
            self.lose_next -= 1
            fault = True
        if fault:
            raise ServiceUnavailable("answer lost", service=self.base_url)
        return Answer(status, answer, sent, time.now)

    def hide(self, text: str) -> str:
        return text


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
                self.after(
                    self.dawdle * chances.random(), lambda error=error: future.set_exception(error)
                )
            else:
                self.after(self.dawdle * chances.random(), lambda: future.set_result(result))
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

    def close(self) -> None:
        pass

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
            now, deadline = lender.begin_renewal(lease, lease.hour_end, None)
        else:
            now = world.time.now
            deadline = lender.deadline(lease, now)
        super().__init__(lease, now, deadline)
        self.lease = lease
        self.world = world
        self.at: float | None = None
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
        self.at = self.world.time.now
        self.lease.not_before = 0.0
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

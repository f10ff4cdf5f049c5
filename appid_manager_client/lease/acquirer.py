"""The loops that follow the plan: what an acquire does is written once, and driven by a thread or by a coroutine.

An acquire that nobody waits for any more (timeout, interrupt, cancelled task) is given up to the keeper.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..errors import (
    AppIdManagerError,
    ClientClosed,
    InvalidRequest,
    NoAppIdAvailable,
    ProductNotFound,
    TransportError,
)
from ..events import Event, EventHook, EventKind, emit
from ..runtime import forks
from ..runtime.executor import Executor
from ..runtime.time import SystemTime
from ..wire.api import ServiceApi
from ..wire.models import Grant
from ..wire.retry import MIN_PAUSE
from .claim import Claim
from .keeper import LeaseKeeper
from .options import WaitOptions
from .waiting import AcquirePlan

T = TypeVar("T")

logger = logging.getLogger("appid_manager_client")

_CLOSING_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """Do `work`, which talks to the service. After `patience` seconds, raise `late()` instead of waiting on."""

    work: Callable[[], Any]
    patience: float | None
    late: Callable[[], AppIdManagerError]


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for some seconds."""

    seconds: float


Steps = Generator[Call | Pause, Any, Claim]


def _steps(
    keeper: LeaseKeeper,
    plan: AcquirePlan,
    product_name: str,
    open_claim: Callable[[], Claim],
    on_event: EventHook | None,
) -> Steps:
    """What an acquire does, in order; gives the claim that was granted."""
    api = keeper.api

    def call(work: Callable[[], Any]) -> Call:
        return Call(work, plan.patience, plan.out_of_time)

    def pause(seconds: float) -> Pause:
        moment = plan.available_at
        left = seconds if moment is None else max(seconds, api.clock.seconds_until(moment))
        kind = EventKind.WAITING
        emit(on_event, Event(kind, api.base_url, product_name, None, left, plan.reason, moment))
        logger.info("waiting %.1f s for an AppID of %s: %s", left, product_name, plan.reason)
        return Pause(seconds)

    claim = open_claim()
    consulted = False
    try:
        while True:
            yield from _fresh_hour(api, plan, product_name, call, pause)
            plan.begin_try()
            try:
                outcome = yield call(partial(keeper.ask, claim, force=plan.options.force))
            except TransportError as error:
                yield pause(plan.after_error(error))
                continue
            except InvalidRequest as error:
                if error.code != "request_ended" or plan.exhausted:
                    raise
                # An answer was lost, and what it brought has ended since: only a new request gets a new grant.
                keeper.give_up(claim)
                claim = open_claim()
                yield Pause(MIN_PAUSE)
                continue
            if isinstance(outcome, Grant):
                if plan.until_fresh_hour(api.clock.hour_end()) is None:
                    keeper.emit(EventKind.ACQUIRED, claim, plan.waited)
                    return claim
                yield call(partial(keeper.settle, claim))
                claim = open_claim()
                continue
            if not api.extended and not (consulted and api.clock.hour_known):
                try:
                    yield call(partial(consult_status, api, product_name))
                    consulted = True
                except TransportError:
                    pass  # the plan goes by what the 202 said
            yield pause(plan.after_wait(outcome))
    except BaseException as error:
        keeper.give_up(claim)
        if isinstance(error, NoAppIdAvailable):
            keeper.emit(EventKind.EXHAUSTED, claim, plan.waited)
        raise


def _fresh_hour(
    api: ServiceApi,
    plan: AcquirePlan,
    product_name: str,
    call: Callable[[Callable[[], Any]], Call],
    pause: Callable[[float], Pause],
) -> Generator[Call | Pause, Any, None]:
    """Wait for `not_before`, and for the next hour while less than `min_remaining` is left of this one."""
    while plan.needs_hours:
        try:
            yield call(partial(api.learn_hours, product_name))
        except TransportError as error:
            plan.begin_try()
            yield pause(plan.after_error(error))
            continue
        seconds = plan.until_fresh_hour(api.clock.hour_end())
        if seconds is None:
            return
        yield pause(seconds)


def consult_status(api: ServiceApi, product_name: str) -> None:
    """What a legacy service's 202 leaves open: whether the product exists, and when the hour turns."""
    api.learn_time()
    if api.status(product_name).total == 0:
        raise ProductNotFound(
            f"{api.base_url} knows no product {product_name!r}: check the name, or run init_product first",
            service=api.base_url,
            code="product_not_found",
            product_name=product_name,
        )


class Acquirer:
    """Runs acquires of one client, on threads and in coroutines, until the client is closed."""

    def __init__(
        self, keeper: LeaseKeeper, system: SystemTime, on_event: EventHook | None = None
    ) -> None:
        self._keeper = keeper
        self._system = system
        self._on_event = on_event
        self._executor = Executor("appid-acquire", 32, system)
        self._closing = threading.Event()
        forks.register(self)

    def after_fork_in_child(self) -> None:
        # A thread of the parent that began or ended its wait just then held the event's lock.
        closing, self._closing = self._closing, threading.Event()
        if closing.is_set():
            self._closing.set()

    def close(self) -> None:
        """Wake all that wait; they raise `ClientClosed`."""
        self._closing.set()
        self._executor.close()

    def acquire(
        self,
        product_name: str,
        options: WaitOptions,
        open_claim: Callable[[], Claim],
        *,
        shielded: bool,
    ) -> Claim:
        """Get an AppID, waiting as `options` say.

        `shielded` calls run in a thread of the executor, so that no interrupt can lose what an answer brings.
        """
        steps = self._begin(product_name, options, open_claim)
        try:
            step = next(steps)
            while True:
                try:
                    result = self._perform(step, shielded)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            claim: Claim = stop.value
            return claim
        finally:
            steps.close()

    async def acquire_async(
        self, product_name: str, options: WaitOptions, open_claim: Callable[[], Claim]
    ) -> Claim:
        """The same in a coroutine: the waits between the calls hold no thread."""
        steps = self._begin(product_name, options, open_claim)
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._perform_async(step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            claim: Claim = stop.value
            return claim
        finally:
            steps.close()

    async def call_async(self, work: Callable[[], T]) -> T:
        """Do `work`, which talks to the service, without holding up the event loop."""
        return await asyncio.wrap_future(self._executor.submit(work))

    def _begin(
        self, product_name: str, options: WaitOptions, open_claim: Callable[[], Claim]
    ) -> Steps:
        self.check_open()
        api = self._keeper.api
        plan = AcquirePlan(product_name, api.base_url, options, api.clock, self._system)
        return _steps(self._keeper, plan, product_name, open_claim, self._on_event)

    def _perform(self, step: Call | Pause, shielded: bool) -> Any:
        self.check_open()
        if isinstance(step, Pause):
            self._system.wait(self._closing, step.seconds)
            return self.check_open()
        if step.patience is None and not shielded:
            result = step.work()
        else:
            future = self._executor.submit(step.work)
            if not wait([future], step.patience).done:
                raise step.late()
            result = future.result()
        # What came after the end was left, or given back, by the closing keeper: nobody may use it.
        self.check_open()
        return result

    async def _perform_async(self, step: Call | Pause) -> Any:
        self.check_open()
        if isinstance(step, Pause):
            deadline = self._system.monotonic() + step.seconds
            while (left := deadline - self._system.monotonic()) > 0:
                await self._system.sleep(min(left, _CLOSING_LOOK))
                self.check_open()
            return None
        future = asyncio.wrap_future(self._executor.submit(step.work))
        try:
            if not (await asyncio.wait([future], timeout=step.patience))[0]:
                raise step.late()
            self.check_open()
            return future.result()
        finally:
            # What runs, runs on; but no loop is to be told of it that may be closed by then.
            future.cancel()

    def check_open(self) -> None:
        """Raise `ClientClosed` once the client was closed."""
        if self._closing.is_set():
            raise ClientClosed(
                f"the client of {self._keeper.api.base_url} is closed",
                service=self._keeper.api.base_url,
            )

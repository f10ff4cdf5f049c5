"""Performs acquires: on threads and in coroutines, until the client is closed.

What an acquire does stands in `steps.py`, when it tries again in `waiting.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any, TypeVar

from ..errors import ClientClosed
from ..events import EventHook
from ..runtime import forks
from ..runtime.executor import Executor
from ..runtime.time import SystemTime
from .claim import Claim
from .keeper import LeaseKeeper
from .options import WaitOptions
from .steps import AcquireSteps, Call, Pause, Steps
from .waiting import AcquirePlan

T = TypeVar("T")

_CLOSING_LOOK = 1.0
"""Seconds after which a coroutine that waits looks whether the client was closed."""


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
        """Make the event anew: a thread of the parent may have held its lock."""
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

        `shielded` calls run on the executor, so that no interrupt can lose what an answer brings.
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
        return AcquireSteps(self._keeper, plan, product_name, open_claim, self._on_event).run()

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
        # What came after the end was given back, or left, by the closing keeper: it isn't ours.
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
            # The call runs on, but must not tell a loop that may be closed by then.
            future.cancel()

    def check_open(self) -> None:
        """Raise `ClientClosed` once the client was closed."""
        if self._closing.is_set():
            raise ClientClosed(
                f"the client of {self._keeper.api.base_url} is closed",
                service=self._keeper.api.base_url,
            )

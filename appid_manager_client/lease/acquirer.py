"""Performs acquires: on threads and in coroutines, until the client is closed.

What an acquire does stands in `steps.py`, when it tries again in `waiting.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import AppIdManagerError, ClientClosed
from ..events import EventHook
from ..runtime import forks
from ..runtime.coroutines import require_asyncio, wait_for
from ..runtime.executor import Executor
from ..runtime.signals import interrupts_strike_here
from ..runtime.time import SystemTime
from .claim import Claim
from .keeper import LeaseKeeper
from .options import WaitOptions
from .place import MOST_HELD
from .steps import AcquireSteps, Call, Pause, Steps
from .waiting import AcquirePlan
from .waitlog import LONG_WAIT

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
        self.executor = Executor("appid-acquire", 32, system)
        # Requests that the service holds: no other call waits for a thread of theirs.
        self._holders = Executor("appid-hold", MOST_HELD, system)
        self._closed = False
        self._waiting: set[threading.Event] = set()
        forks.register(self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        """Forget the threads that wait: they are the parent's."""
        self._waiting = set()

    def close(self, timeout: float = 0.0) -> None:
        """Wake all that wait; they raise `ClientClosed`. Then wait for the threads to end."""
        self._closed = True
        for event in list(self._waiting):
            event.set()
        self.executor.close(timeout)
        self._holders.close()

    def acquire(
        self,
        product_name: str,
        options: WaitOptions,
        open_claim: Callable[[], Claim],
    ) -> Claim:
        """Get an AppID, waiting as `options` say."""
        steps = self._begin(product_name, options, open_claim)
        try:
            step = next(steps)
            while True:
                try:
                    result = self._perform(step)
                except BaseException as error:
                    step = steps.throw(self._cause(error))
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
        require_asyncio()
        steps = self._begin(product_name, options, open_claim)
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._perform_async(step)
                except BaseException as error:
                    step = steps.throw(self._cause(error))
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            claim: Claim = stop.value
            return claim
        finally:
            steps.close()

    async def call_async(self, work: Callable[[], T]) -> T:
        """Do `work`, which talks to the service, without holding up the event loop."""
        require_asyncio()
        call = self.executor.start(work)
        await wait_for(call)
        return call.result()

    def _begin(
        self, product_name: str, options: WaitOptions, open_claim: Callable[[], Claim]
    ) -> Steps:
        self.check_open()
        api = self._keeper.api
        plan = AcquirePlan(product_name, api.base_url, options, api.clock, self._system)
        return AcquireSteps(self._keeper, plan, product_name, open_claim, self._on_event).run()

    def _perform(self, step: Call | Pause) -> Any:
        self.check_open()
        if isinstance(step, Pause):
            return self._pause(step.seconds)
        if self._may_be_called_here(step):
            result = step.work()
        else:
            call = self._executor_of(step).start(step.work)
            first, rest = _in_two(step.patience)
            if not call.wait(first):
                if rest != 0:
                    step.slow()
                if not call.wait(rest):
                    raise step.late()
            result = call.result()
        # What came after the end was given back, or left, by the closing keeper: it isn't ours.
        self.check_open()
        return result

    def _executor_of(self, step: Call) -> Executor:
        return self._holders if step.held else self.executor

    def _may_be_called_here(self, step: Call) -> bool:
        """Whether nobody has to wait for the call: not with a bound, nor to say that it is slow.

        Where interrupts strike, one would lose what the answer brings.
        """
        return (
            step.patience is None
            and self._keeper.api.timeout <= LONG_WAIT
            and not interrupts_strike_here()
        )

    def _pause(self, seconds: float) -> None:
        # Made for each wait: gevent may have replaced its kind since this object was made.
        closing = threading.Event()
        self._waiting.add(closing)
        try:
            self.check_open()
            self._system.wait(closing, seconds)
        finally:
            self._waiting.discard(closing)
        self.check_open()

    async def _perform_async(self, step: Call | Pause) -> Any:
        self.check_open()
        if isinstance(step, Pause):
            deadline = self._system.monotonic() + step.seconds
            while (left := deadline - self._system.monotonic()) > 0:
                await self._system.sleep(min(left, _CLOSING_LOOK))
                self.check_open()
            return None
        call = self._executor_of(step).start(step.work)
        try:
            first, rest = _in_two(step.patience)
            if not await wait_for(call, first):
                if rest != 0:
                    step.slow()
                if not await wait_for(call, rest):
                    raise step.late()
            self.check_open()
            return call.result()
        finally:
            call.drop()

    def _cause(self, error: BaseException) -> BaseException:
        """What ended a step: the end of the client, where a call failed because of that."""
        if self._closed and isinstance(error, AppIdManagerError):
            return self._closed_error()
        return error

    def check_open(self) -> None:
        """Raise `ClientClosed` once the client was closed."""
        if self._closed:
            raise self._closed_error()

    def _closed_error(self) -> ClientClosed:
        return ClientClosed(
            f"the client of {self._keeper.api.base_url} is closed",
            service=self._keeper.api.base_url,
        )


def _in_two(patience: float | None) -> tuple[float, float | None]:
    """How long a call may take before it is called slow, and how long after that."""
    if patience is None:
        return LONG_WAIT, None
    first = min(patience, LONG_WAIT)
    return first, patience - first

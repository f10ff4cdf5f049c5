"""What coroutines may rely on: the event loop of asyncio, and no other library's."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .executor import Call


def require_asyncio() -> asyncio.AbstractEventLoop:
    """The loop that runs here. Coroutines of another library are refused, before anything is sent.

    Raises:
        ConfigurationError: no loop of asyncio runs here.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "'async with' and the methods that end in _async work with asyncio only: under another "
            "library (trio, curio) use 'with' in a thread, as trio.to_thread.run_sync starts one"
        ) from None


def runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it is this loop that calls: then nobody has to be woken in another thread."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def wait_for(call: Call[Any], seconds: float | None = None) -> bool:
    """Wait until `call` is done, at most so many seconds. Returns whether it is.

    Cancelling the wait does nothing to the call. `asyncio.wait` does the same, and costs more.
    """
    if call.done:
        return True
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    timer = None if seconds is None else loop.call_later(seconds, resolve, waiter)
    call.when_done(partial(_resolve_from_thread, loop, waiter))
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
    return call.done


class Naps:
    """Wakes coroutines of one loop after the same number of seconds, with one timer for them all.

    Most of them are woken by somebody else long before: a timer for each would cost more than
    anything else that they do.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop = loop
        self._seconds = seconds
        self._sleepers: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, sleeper: asyncio.Future[None]) -> None:
        """Have `sleeper` resolved after the seconds, unless somebody else did it."""
        self._sleepers.append((self.loop.time() + self._seconds, sleeper))
        if self._timer is None:
            self._timer = self.loop.call_later(self._seconds, self._ring)

    def _ring(self) -> None:
        now = self.loop.time()
        sleepers = self._sleepers
        while sleepers and (sleepers[0][1].done() or sleepers[0][0] <= now):
            resolve(sleepers.popleft()[1])
        self._timer = self.loop.call_at(sleepers[0][0], self._ring) if sleepers else None


def resolve(waiter: asyncio.Future[None]) -> None:
    """Wake a coroutine of this loop that waits, if it does still."""
    if not waiter.done():
        waiter.set_result(None)


def _resolve_from_thread(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
    try:
        loop.call_soon_threadsafe(resolve, waiter)
    except RuntimeError:
        pass  # the loop was closed while its coroutine waited

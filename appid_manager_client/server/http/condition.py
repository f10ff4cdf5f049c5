"""Whether the service can work now: a look at the database every 2 s, and whether it is stopping.

Owns what `/health` and `/ready` say, and the one line in the log when that changes. What a look
does is left to the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator

from ..log import describe_failure, log_event, logger
from ..operations import Unavailable

LOOK_EVERY = 2.0
"""How many seconds pass from one look to the next."""

# A look that takes longer than callers wait for an answer has failed, whatever comes of it.
_SLOWEST_LOOK = 5.0

# `/ready` needs no token: it must not have the disk written as often as somebody asks.
_FRESH = 1.0


class Condition:
    """What the last look found. Used from one event loop.

    Args:
        look: has the store take a small write.
        stopping: returns whether the service is about to end.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[object]],
        stopping: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._stopping = stopping
        self._monotonic = monotonic
        # The store has just been opened, and was written to then.
        self._looked = monotonic()
        self._began: float | None = None  # when the look that is under way began
        self._running: asyncio.Task[None] | None = None
        self._fault: Unavailable | None = None
        self._since = 0.0  # when the fault was first seen

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Around the work of one request: notes why it fails."""
        try:
            yield
        except Unavailable as error:
            self.note(error)
            raise

    def fault(self) -> Unavailable | None:
        """Why the service can't work now, by the last look; `None` if it can."""
        if self._stopping():
            return Unavailable("stopping", "the service is stopping")
        if self._began is not None:
            taking = self._monotonic() - self._began
            if taking > _SLOWEST_LOOK:
                return Unavailable("away", f"the database has not answered for {taking:.0f} s", 2)
        return self._fault

    async def fresh_fault(self) -> Unavailable | None:
        """`fault`, by a look that is at most a second old. Callers at the same time share one."""
        if self._running is not None or self._monotonic() - self._looked > _FRESH:
            await asyncio.wait({self._begin()}, timeout=_SLOWEST_LOOK)
        return self.fault()

    async def look_forever(self) -> None:
        """Look every 2 s, until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY)
                await asyncio.wait({self._begin()})
        finally:
            if self._running is not None:
                await asyncio.wait({self._running})

    def note(self, error: Unavailable) -> None:
        """Note why something just failed; logged unless it is known."""
        if error.reason == "stopping":  # no fault, and logged elsewhere
            return
        known, self._fault = self._fault, _bare(error)
        if known is None:
            self._since = self._monotonic()
        if known is None or known.reason != error.reason:
            log_event(
                logging.ERROR,
                "unavailable",
                "requests are answered with 503 (%(reason)s): %(problem)s",
                reason=error.reason,
                problem=error.message,
            )

    def _begin(self) -> asyncio.Task[None]:
        if self._running is None:
            self._began = self._monotonic()
            self._running = asyncio.get_running_loop().create_task(self._run())
        return self._running

    async def _run(self) -> None:
        try:
            await self._look()
        except Unavailable as error:
            self.note(error)
        except Exception as error:
            self.note(
                Unavailable("away", f"the look at the database failed: {type(error).__name__}")
            )
            logger.error("the look at the database failed: %s", describe_failure(error))
        else:
            self._note_success()
        finally:
            self._looked = self._monotonic()
            self._running = self._began = None

    def _note_success(self) -> None:
        if self._fault is not None:
            failed = self._monotonic() - self._since
            log_event(
                logging.WARNING,
                "available",
                "requests are carried out again, after %(seconds).0f s",
                seconds=failed,
            )
            self._fault = None


def _bare(error: Unavailable) -> Unavailable:
    # The original is raised to callers, and holds their frames.
    return Unavailable(error.reason, error.message, error.retry_after)

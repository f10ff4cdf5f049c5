"""Group commit: operations that wait at the same time go to the store as one batch.

Each is answered after the batch's commit. One thread runs the batches one after the other; while
one batch is written to disk the next one collects. Knows nothing of what the operations do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from ..operations import Operation, Outcome, Unavailable
from .store import Store

# How many seconds a batch that is smaller than the last one waits for the callers that have just
# been answered. Callers that ask again at once would otherwise split for ever into a batch of one
# and a batch of the others, with a commit for each.
_COLLECT_TIMEOUT = 0.002

# Bounds how long one transaction takes, and with it how long everybody else waits.
_LARGEST_BATCH = 256


_Waiting: TypeAlias = tuple[Operation, "asyncio.Future[Outcome]", Callable[[], bool] | None]


class Void(Exception):
    """An operation that was not carried out, because its caller was gone when its turn came."""


class Batcher:
    """Feeds a store from one event loop. Not for use by several loops or threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="appid-service-store")
        self._waiting: deque[_Waiting] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._last_size = 0
        self._enough: asyncio.Event | None = None  # set: as many wait as were in the last batch
        self._closed = False

    async def submit(
        self, operation: Operation, is_void: Callable[[], bool] | None = None
    ) -> Outcome:
        """Have `operation` carried out, and return its outcome once that is on disk.

        An operation is carried out even if its caller is cancelled.

        Args:
            operation: what to do.
            is_void: asked when its turn comes: whether to leave it out.

        Raises:
            Void: it was left out.
            Unavailable: the store can't carry it out now.
        """
        if self._closed:
            raise Unavailable("stopping", "the service is stopping")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((operation, answer, is_void))
        if self._enough is not None and len(self._waiting) >= self._last_size:
            self._enough.set()
        if self._runner is None:
            self._runner = loop.create_task(self._run())
        return await answer

    async def close(self) -> None:
        """Finish the operations that wait, and end the thread. Later ones are refused."""
        while self._runner is not None:
            await self._runner
        self._closed = True
        self._thread.shutdown()

    async def _run(self) -> None:
        try:
            while self._waiting:
                if len(self._waiting) < self._last_size:
                    await self._collect()
                self._last_size = min(len(self._waiting), _LARGEST_BATCH)
                await self._run_batch([self._waiting.popleft() for _ in range(self._last_size)])
        finally:
            self._runner = None

    async def _collect(self) -> None:
        self._enough = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_COLLECT_TIMEOUT):
                await self._enough.wait()
        self._enough = None

    async def _run_batch(self, waiting: list[_Waiting]) -> None:
        batch = []
        for one in waiting:
            _, answer, is_void = one
            if is_void is not None and is_void():
                _answer(answer, Void())
            else:
                batch.append(one)
        if not batch:
            return
        outcomes: list[Outcome | Exception]
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._store.execute, [operation for operation, _, _ in batch]
            )
        except Exception as error:
            outcomes = [error] * len(batch)
        for (_, answer, _), outcome in zip(batch, outcomes, strict=True):
            _answer(answer, outcome)
        if isinstance(outcomes[-1], Unavailable):
            # Who came meanwhile has waited too: nobody waits for the same lock twice.
            latecomers, self._waiting = self._waiting, deque()
            for _, answer, _ in latecomers:
                _answer(answer, outcomes[-1])


def _answer(answer: asyncio.Future[Outcome], outcome: Outcome | Exception) -> None:
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)

"""Group commit: operations that wait at the same moment go to the store as one batch, answered after its commit.

One thread runs the batches, one after the other; while one is on its way to the disk the next one gathers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from ..operations import Operation, Outcome
from .store import Store

# How long a batch that looks too small waits for those that were answered a moment ago, in seconds. Callers that ask
# again at once would otherwise split into a batch of one and a batch of the others, for ever, at a commit for each.
_GATHER = 0.002

# Bounds how long one transaction can take, and with it how long everybody else waits.
_MOST_AT_ONCE = 256


class Batcher:
    """Feeds a store from one event loop. Not for use by several loops or threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="appid-service-store")
        self._waiting: deque[tuple[Operation, asyncio.Future[Outcome]]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._last = 0  # the size of the last batch
        self._enough: asyncio.Event | None = None

    async def submit(self, operation: Operation) -> Outcome:
        """Have `operation` carried out, and return its outcome when that is on disk.

        A caller that is cancelled doesn't take its operation back.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((operation, answer))
        if self._enough is not None and len(self._waiting) >= self._last:
            self._enough.set()
        if self._runner is None:
            self._runner = loop.create_task(self._run())
        return await answer

    async def close(self) -> None:
        """Finish what waits, and end the thread."""
        while self._runner is not None:
            await self._runner
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                if len(self._waiting) < self._last:
                    await self._gather()
                count = min(len(self._waiting), _MOST_AT_ONCE)
                self._last = count
                batch = [self._waiting.popleft() for _ in range(count)]
                operations = [operation for operation, _ in batch]
                outcomes: list[Outcome | Exception]
                try:
                    outcomes = await loop.run_in_executor(
                        self._thread, self._store.execute, operations
                    )
                except Exception as error:
                    outcomes = [error] * count
                for (_, answer), outcome in zip(batch, outcomes, strict=True):
                    if answer.done():
                        continue
                    if isinstance(outcome, Exception):
                        answer.set_exception(outcome)
                    else:
                        answer.set_result(outcome)
        finally:
            self._runner = None

    async def _gather(self) -> None:
        self._enough = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GATHER):
                await self._enough.wait()
        self._enough = None

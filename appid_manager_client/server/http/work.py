"""What the service does with its store: operations in batches, queries, held requests, sweeps.

Used by the handlers of all paths, from one event loop. Decides nothing about AppIDs: that is the
store's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from ..line import grace
from ..log import describe_failure, logger
from ..operations import (
    Abandon,
    Initialized,
    Leave,
    Look,
    Operation,
    Outcome,
    Paused,
    Released,
    Reserved,
    Sweep,
    Swept,
    Unavailable,
)
from ..store.batching import Batcher
from ..store.store import Store
from .condition import Condition
from .holding import MOST_HELD, Holding
from .metrics import Metrics

T = TypeVar("T")

# How often old data is pruned, in seconds.
_PRUNE_EVERY = 60
# How long after a slice of old data the next one is pruned, while there is more: 2,000 leases a
# second go, four times as many as are taken where AppIDs are busy.
_PRUNE_PAUSE = 0.25


class Work:
    """The work of one service, over one store, which it closes at the end.

    Attributes:
        store: the store; its queries go through `read`.
        condition: whether the service can work now.
        holding: the requests that are held.
        metrics: what is counted.
    """

    def __init__(self, store: Store, stopping: Callable[[], bool]) -> None:
        self.store = store
        self._batcher = Batcher(store)
        self.condition = Condition(lambda: self._batcher.submit(Look()), stopping)
        self.holding = Holding(self.submit, store.clock, self._grace, self._note_failure, MOST_HELD)
        self.metrics = Metrics(store.hours, store.expired, lambda: self.holding.count)
        store.note_commit = self.metrics.commit_seconds.observe

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self.condition.look_forever()),
            asyncio.create_task(self.holding.watch()),
            asyncio.create_task(self._prune_forever()),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # The next start gives every live lease another ttl: end the expired ones before.
            await self._sweep()
            await self._batcher.close()
            self.store.close()

    async def submit_noted(self, operation: Operation) -> Outcome:
        """Carry out a caller's operation, and count what came of it."""
        outcome = await self.submit(operation)
        self.metrics.note(outcome)
        return outcome

    async def submit(
        self, operation: Operation, is_void: Callable[[], bool] | None = None
    ) -> Outcome:
        """Carry out an operation; `is_void` says, just before, that it must not be any more."""
        began = time.perf_counter()
        with self.condition.working():
            outcome = await self._batcher.submit(operation, is_void)
        self.metrics.store_seconds.observe(time.perf_counter() - began)
        if isinstance(operation, Abandon | Leave):
            self.holding.let_go(operation)
        if isinstance(outcome, Released | Initialized | Reserved | Paused):
            self.holding.note_change(outcome.product)
        return outcome

    async def read(self, query: Callable[[], T]) -> T:
        """The result of a query, in which leases that have expired have ended."""
        with self.condition.working():
            await self._batcher.submit(Sweep())
            return await asyncio.to_thread(query)

    def _grace(self) -> int:
        return grace(self.store.hours.at(self.store.clock()))

    async def _prune_forever(self) -> None:
        while True:
            more = await self._sweep(prune=True)
            await asyncio.sleep(_PRUNE_PAUSE if more else _PRUNE_EVERY)

    async def _sweep(self, *, prune: bool = False) -> bool:
        """End what has expired; prune a slice. Returns whether there is more to prune."""
        try:
            swept = await self._batcher.submit(Sweep(prune))
            return isinstance(swept, Swept) and swept.more
        except Exception as error:
            self._note_failure(error)
        return False

    def _note_failure(self, error: Exception) -> None:
        """Note why what the service does of its own accord failed."""
        if isinstance(error, Unavailable):
            self.condition.note(error)
        else:
            logger.error(
                "the search for expired leases failed and is tried again: %s",
                describe_failure(error),
            )

"""The service as an ASGI application: its paths, what each call does, and its sweeper.

Decides nothing about AppIDs: that is the store's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from ..line import grace
from ..log import BoundedEvents, describe_failure, log_event, logger
from ..operations import (
    Abandon,
    Doubt,
    Extended,
    Granted,
    Initialized,
    Leave,
    Look,
    Operation,
    Outcome,
    Release,
    Released,
    Reserved,
    Sweep,
    Swept,
    Unavailable,
)
from ..settings import ServiceSettings
from ..store.batching import Batcher, Void
from ..store.store import Store
from . import answers, listings, metrics, requests
from .answers import Reply
from .admission import Admission
from .authentication import Authenticator
from .condition import Condition
from .endpoints import Call, DateHeader, Endpoint
from .holding import MOST_HELD, Holding
from .metrics import Metrics
from .origins import Origins

T = TypeVar("T")

_LARGEST_INIT = 32 * 1024 * 1024  # bytes

# How often old data is pruned, in seconds.
_PRUNE_EVERY = 60
# How long after a slice of old data the next one is pruned, while there is more: 2,000 leases a
# second go, four times as many as are taken where AppIDs are busy.
_PRUNE_PAUSE = 0.25


def make_app(
    store: Store,
    settings: ServiceSettings,
    events: BoundedEvents,
    *,
    stopping: Callable[[], bool],
) -> tuple[ASGIApp, Callable[[], None]]:
    """The service as an ASGI application, and what has it answer all requests that it holds.

    The application closes `store` when it shuts down.

    Args:
        store: what carries the calls out.
        settings: who may call.
        events: where refusals are logged.
        stopping: returns whether the service is about to end, and takes no new requests.
    """
    calls = _Calls(store, stopping)
    origins = Origins(
        settings.public_urls, settings.allowed_hosts, guards_host=settings.guards_host
    )
    admission = Admission(Authenticator(settings.auth_token), origins, events)
    endpoint = partial(Endpoint, admission, DateHeader(store.clock), stopping)
    app = Router(
        [
            # Paths are tried in this order: the most frequent calls first.
            Route("/api/appid/acquire", endpoint(calls.acquire)),
            Route("/api/appid/release", endpoint(calls.release)),
            Route("/api/appid/heartbeat", endpoint(calls.heartbeat)),
            Route("/health", endpoint(calls.health, "GET", public=True)),
            Route("/ready", endpoint(calls.ready, "GET", public=True)),
            Route("/live", endpoint(_live, "GET", public=True)),
            Route("/api/appid/status", endpoint(calls.status, "GET")),
            Route("/api/appid/history", endpoint(calls.history, "GET")),
            Route("/api/appid/products", endpoint(calls.products, "GET")),
            Route("/api/appid/line", endpoint(calls.line, "GET")),
            Route("/metrics", endpoint(calls.show_metrics, "GET")),
            Route("/api/appid/reserve", endpoint(calls.reserve)),
            Route("/api/appid/init", endpoint(calls.init, largest_body=_LARGEST_INIT)),
        ],
        # A redirect would carry the token along, and lose a body.
        redirect_slashes=False,
        default=endpoint(_not_found, None),
        lifespan=calls.lifespan,
    )
    return app, calls.holding.answer_all


async def _live(_call: Call) -> Reply:
    return answers.live()


async def _not_found(_call: Call) -> Reply:
    return answers.not_found()


class _Calls:
    """The handlers of the calls, over one store."""

    def __init__(self, store: Store, stopping: Callable[[], bool]) -> None:
        self._store = store
        self._batcher = Batcher(store)
        self._condition = Condition(lambda: self._batcher.submit(Look()), stopping)
        self.holding = Holding(
            self._submit, store.clock, self._grace, self._note_failure, MOST_HELD
        )
        self._metrics = Metrics(store.hours, store.expired, lambda: self.holding.count)

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self._condition.look_forever()),
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
            self._store.close()

    async def acquire(self, call: Call) -> Reply:
        operation, wait_ms = requests.parse_acquire(call.body)
        is_gone = call.caller.is_gone
        try:
            if wait_ms is not None:
                outcome = await self.holding.acquire(operation, wait_ms, call.caller)
            elif operation.request_id is not None:
                outcome = await self._submit(operation)
            else:
                # Nobody could ask for this grant again.
                outcome = await self._submit(operation, is_gone)
                if isinstance(outcome, Granted) and is_gone():
                    await self._submit(Release(outcome.product, outcome.appid, outcome.lease_id))
                    return answers.caller_gone()
        except Void:
            return answers.caller_gone()
        if isinstance(outcome, Granted) and operation.ttl_ms is None and is_gone():
            # It can ask for this grant again, and nothing would end it if it never does.
            doubted = await self._submit(Doubt(outcome.lease_id))
            if isinstance(doubted, Extended):
                outcome.expires = doubted.expires[outcome.lease_id]
        self._metrics.note(outcome)
        if isinstance(outcome, Granted) and logger.isEnabledFor(logging.DEBUG):
            _log_grant(outcome, call)
        return answers.outcome(outcome)

    async def release(self, call: Call) -> Reply:
        return await self._carry_out(requests.parse_release(call.body))

    async def init(self, call: Call) -> Reply:
        # In a thread: a large body takes long to parse, and other requests are waiting.
        operation = await asyncio.to_thread(requests.parse_init, call.body)
        outcome = await self._submit_noted(operation)
        if isinstance(outcome, Initialized):
            log_event(
                logging.WARNING if outcome.ended else logging.INFO,
                "init",
                "init of product %(product)s: %(added)d AppIDs added, %(removed)d removed, "
                "%(ended)d live leases ended, for %(peer)s",
                product=outcome.product,
                added=outcome.added,
                removed=outcome.removed,
                ended=outcome.ended,
                peer=call.peer,
            )
        return answers.outcome(outcome)

    async def heartbeat(self, call: Call) -> Reply:
        return await self._carry_out(requests.parse_heartbeat(call.body, self._store.clock()))

    async def status(self, call: Call) -> Reply:
        query = requests.parse_status(call.query)
        return await self._read(lambda: listings.status(self._store.status(query)))

    async def products(self, _call: Call) -> Reply:
        return await self._read(lambda: listings.products(self._store.products()))

    async def line(self, call: Call) -> Reply:
        query = requests.parse_line(call.query)
        return await self._read(lambda: listings.line(self._store.line(query)))

    async def show_metrics(self, _call: Call) -> Reply:
        products = await self._read(self._store.products)
        return Reply(self._metrics.exposition(products), content_type=metrics.CONTENT_TYPE)

    async def reserve(self, call: Call) -> Reply:
        outcome = await self._submit_noted(requests.parse_reserve(call.body))
        if isinstance(outcome, Reserved):
            _log_reserved(outcome, call)
        return answers.outcome(outcome)

    async def history(self, call: Call) -> Reply:
        query = requests.parse_history(call.query)
        leases = await self._read(lambda: self._store.history(query))
        return listings.history(leases, self._store.clock())

    async def health(self, _call: Call) -> Reply:
        now = self._store.clock()
        return answers.health(now, self._store.hours.at(now), self._condition.fault())

    async def ready(self, _call: Call) -> Reply:
        return answers.ready(await self._condition.fresh_fault())

    async def _carry_out(self, operation: Operation) -> Reply:
        return answers.outcome(await self._submit_noted(operation))

    async def _submit_noted(self, operation: Operation) -> Outcome:
        """Carry out a caller's operation, and count what came of it."""
        outcome = await self._submit(operation)
        self._metrics.note(outcome)
        return outcome

    async def _submit(
        self, operation: Operation, is_void: Callable[[], bool] | None = None
    ) -> Outcome:
        began = time.perf_counter()
        with self._condition.working():
            outcome = await self._batcher.submit(operation, is_void)
        self._metrics.store_seconds.observe(time.perf_counter() - began)
        if isinstance(operation, Abandon | Leave):
            self.holding.let_go(operation)
        if isinstance(outcome, Released | Initialized | Reserved):
            self.holding.note_change(outcome.product)
        return outcome

    async def _read(self, query: Callable[[], T]) -> T:
        """The result of a query, in which leases that have expired have ended."""
        with self._condition.working():
            await self._batcher.submit(Sweep())
            return await asyncio.to_thread(query)

    def _grace(self) -> int:
        return grace(self._store.hours.at(self._store.clock()))

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
            self._condition.note(error)
        else:
            logger.error(
                "the search for expired leases failed and is tried again: %s",
                describe_failure(error),
            )


def _log_grant(grant: Granted, call: Call) -> None:
    log_event(
        logging.DEBUG,
        "granted",
        "AppID %(appid)s of product %(product)s granted to %(peer)s",
        appid=grant.appid,
        product=grant.product,
        lease=grant.lease_id,
        peer=call.peer,
    )


def _log_reserved(done: Reserved, call: Call) -> None:
    what = "reserved" if done.reserved else "taken back into use"
    log_event(
        logging.INFO,
        "reserved" if done.reserved else "unreserved",
        f"AppID %(appid)s of product %(product)s is {what}, for %(peer)s",
        appid=done.appid,
        product=done.product,
        peer=call.peer,
    )

"""The calls of the wire contract, each from its request to its reply. Decides nothing about AppIDs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from ..._version import __version__
from ..operations import Operation, Refused, Sweep, describe
from ..store.batching import Batcher
from ..store.store import Store
from . import requests
from .answers import Reply, answer, refusal, reply
from .endpoints import Call, Endpoint, Gate

logger = logging.getLogger("appid_manager_client.server")

_MAX_INIT_BODY = 32 * 1024 * 1024
# How often leases are looked through when nobody asks for anything, and old history is thrown away, in seconds.
_SWEEP_EVERY = 1
_PRUNE_EVERY = 600


def make_app(store: Store, auth_token: str | None) -> ASGIApp:
    """The service as an ASGI application. It closes `store` when it shuts down."""
    service = _Service(store)
    gate = Gate(auth_token, store.clock)
    return Router(
        [
            # The most frequent ones first: paths are tried in this order.
            Route("/api/appid/acquire", Endpoint(gate, service.acquire)),
            Route("/api/appid/release", Endpoint(gate, service.release)),
            Route("/api/appid/heartbeat", Endpoint(gate, service.heartbeat)),
            Route("/health", Endpoint(gate, service.health, "GET", public=True)),
            Route("/api/appid/status", Endpoint(gate, service.status, "GET")),
            Route("/api/appid/history", Endpoint(gate, service.history, "GET")),
            Route("/api/appid/init", Endpoint(gate, service.init, limit=_MAX_INIT_BODY)),
        ],
        # A redirect would carry the token along, and a body would be lost on the way.
        redirect_slashes=False,
        default=Endpoint(gate, _nowhere, None),
        lifespan=service.lifespan,
    )


async def _nowhere(_call: Call) -> Reply:
    return refusal(Refused("not_found", "there is nothing at this path"))


class _Service:
    """The calls, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batcher = Batcher(store)

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(self._sweep_for_ever())
        try:
            yield
        finally:
            sweeper.cancel()
            await asyncio.gather(sweeper, return_exceptions=True)
            # What is due now must not get another ttl at the next start.
            await self._sweep()
            await self._batcher.close()
            self._store.close()

    async def acquire(self, call: Call) -> Reply:
        return await self._carry_out(requests.parse_acquire(call.body))

    async def release(self, call: Call) -> Reply:
        return await self._carry_out(requests.parse_release(call.body))

    async def init(self, call: Call) -> Reply:
        # A large one takes long to read, and others are waiting.
        return await self._carry_out(await asyncio.to_thread(requests.parse_init, call.body))

    async def heartbeat(self, call: Call) -> Reply:
        return await self._carry_out(requests.parse_heartbeat(call.body, self._store.clock()))

    async def status(self, call: Call) -> Reply:
        product, details = requests.parse_status(call.query)
        await self._batcher.submit(Sweep())
        return await asyncio.to_thread(lambda: reply(self._store.status(product, details)))

    async def history(self, call: Call) -> Reply:
        query = requests.parse_history(call.query)
        await self._batcher.submit(Sweep())
        found = await asyncio.to_thread(self._store.history, query)
        return reply({"leases": found, "serverTime": self._store.clock()})

    async def health(self, _call: Call) -> Reply:
        now = self._store.clock()
        hour = self._store.hours.at(now)
        return reply(
            {
                "status": "healthy",
                "timestamp": now,
                "serverTime": now,
                "hourStart": hour.start,
                "hourEnd": hour.end,
                "version": __version__,
            }
        )

    async def _carry_out(self, operation: Operation) -> Reply:
        return answer(await self._batcher.submit(operation))

    async def _sweep_for_ever(self) -> None:
        rounds = 0
        while True:
            await self._sweep(prune=rounds % _PRUNE_EVERY == 0)
            rounds += 1
            await asyncio.sleep(_SWEEP_EVERY)

    async def _sweep(self, *, prune: bool = False) -> None:
        try:
            await self._batcher.submit(Sweep(prune))
        except Exception as error:
            logger.error(
                "the search for ended leases failed, and is tried again: %s", describe(error)
            )

"""The HTTP face: routes, authentication, size limits, and JSON for every error. Decides nothing about AppIDs."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._version import __version__
from . import schemas
from .answers import answer, json_response, refusal
from .batching import Batcher
from .operations import Operation, Refused, Sweep
from .store import Store

logger = logging.getLogger("appid_manager_client.server")

_MAX_BODY = 1024 * 1024
_MAX_INIT_BODY = 32 * 1024 * 1024
# How often leases are looked through when nobody asks for anything, and old history is thrown away, in seconds.
_SWEEP_EVERY = 1.0
_PRUNE_EVERY = 600

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def make_app(store: Store, auth_token: str | None) -> ASGIApp:
    """The service as an ASGI application. It closes `store` when it shuts down."""
    service = _Service(store)
    app = Starlette(
        routes=service.routes(),
        lifespan=service.lifespan,
        exception_handlers={HTTPException: _http_error},
    )
    # A redirect would carry the token along, and a body would be lost on the way.
    app.router.redirect_slashes = False
    return _Gate(app, auth_token, store.clock)


class _Service:
    """The endpoints, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batcher = Batcher(store)

    def routes(self) -> list[Route]:
        return [
            Route("/api/appid/acquire", _guarded(self.acquire), methods=["POST"]),
            Route("/api/appid/release", _guarded(self.release), methods=["POST"]),
            Route("/api/appid/init", _guarded(self.init), methods=["POST"]),
            Route("/api/appid/heartbeat", _guarded(self.heartbeat), methods=["POST"]),
            Route("/api/appid/status", _guarded(self.status), methods=["GET"]),
            Route("/api/appid/history", _guarded(self.history), methods=["GET"]),
            Route("/health", _guarded(self.health), methods=["GET"]),
        ]

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(self._sweep_for_ever())
        try:
            yield
        finally:
            sweeper.cancel()
            await asyncio.gather(sweeper, return_exceptions=True)
            await self._sweep()
            await self._batcher.close()
            self._store.close()

    async def acquire(self, request: Request) -> Response:
        return await self._carry_out(schemas.parse_acquire(await _body(request, _MAX_BODY)))

    async def release(self, request: Request) -> Response:
        return await self._carry_out(schemas.parse_release(await _body(request, _MAX_BODY)))

    async def init(self, request: Request) -> Response:
        body = await _body(request, _MAX_INIT_BODY)
        # A large one takes long to read, and others are waiting.
        return await self._carry_out(await asyncio.to_thread(schemas.parse_init, body))

    async def heartbeat(self, request: Request) -> Response:
        body = await _body(request, _MAX_BODY)
        return await self._carry_out(schemas.parse_heartbeat(body, self._store.clock()))

    async def status(self, request: Request) -> Response:
        product, details = schemas.parse_status(request.query_params)
        await self._batcher.submit(Sweep())
        return await asyncio.to_thread(lambda: json_response(self._store.status(product, details)))

    async def history(self, request: Request) -> Response:
        query = schemas.parse_history(request.query_params)
        await self._batcher.submit(Sweep())
        found = await asyncio.to_thread(self._store.history, query)
        return json_response({"leases": found, "serverTime": self._store.clock()})

    async def health(self, _request: Request) -> Response:
        now = self._store.clock()
        hour = self._store.hours.at(now)
        return json_response(
            {
                "status": "healthy",
                "timestamp": now,
                "serverTime": now,
                "hourStart": hour.start,
                "hourEnd": hour.end,
                "version": __version__,
            }
        )

    async def _carry_out(self, operation: Operation) -> Response:
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
            logger.error("the search for ended leases failed, and is tried again: %r", error)


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Turn what an endpoint raises into answers; nothing of the request goes to the log but its path."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except schemas.BadRequest as error:
            return refusal(error.refused)
        except _TooLarge as error:
            refused = Refused("request_too_large", f"the body is larger than {error.limit} bytes")
            return refusal(refused, {"Connection": "close"})
        except ClientDisconnect:
            # Nobody is there to read it.
            return refusal(Refused("invalid_request", "the body broke off", "body"))
        except Exception as error:
            logger.error("%s failed: %s", request.url.path, _describe(error))
            return refusal(Refused("internal_error", "the service failed; its log says why"))

    return guarded


def _describe(error: Exception) -> str:
    # The text of a database error holds the statement's values.
    original = getattr(error, "orig", None) or error
    return f"{type(error).__name__}: {original}"


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        return refusal(Refused("method_not_allowed", "this path takes another method"), headers)
    return refusal(Refused("not_found", "there is nothing at this path"), headers)


class _TooLarge(Exception):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


async def _body(request: Request, limit: int) -> bytes:
    """The body, as long as it isn't larger than `limit` bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > limit:
        raise _TooLarge(limit)
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise _TooLarge(limit)
        pieces.append(piece)
    return b"".join(pieces)


class _Gate:
    """Lets in who has the token, and dates the answers by the service's clock."""

    def __init__(self, app: ASGIApp, auth_token: str | None, clock: Callable[[], int]) -> None:
        self._app = app
        self._expected = None if auth_token is None else auth_token.encode("ascii")
        self._clock = clock
        self._dated = (0, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"date", self._date()))
            await send(message)

        if scope["path"] != "/health" and not self._admits(scope["headers"]):
            message = "a valid token is required: X-API-Key: TOKEN, or Authorization: Bearer TOKEN"
            denied = refusal(
                Refused("unauthorized", message),
                {"WWW-Authenticate": "Bearer", "Connection": "close"},
            )
            await denied(scope, receive, send_dated)
        else:
            await self._app(scope, receive, send_dated)

    def _admits(self, headers: list[tuple[bytes, bytes]]) -> bool:
        if self._expected is None:
            return True
        for name, value in headers:
            if name == b"x-api-key":
                given = value
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:].strip()
            else:
                continue
            if hmac.compare_digest(given, self._expected):
                return True
        return False

    def _date(self) -> bytes:
        second = self._clock() // 1000
        if second != self._dated[0]:
            self._dated = (second, formatdate(second, usegmt=True).encode("ascii"))
        return self._dated[1]

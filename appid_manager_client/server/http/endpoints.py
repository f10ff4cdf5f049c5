"""What every call of the contract has around it: token, method, size of the body, failures, date.

Written to plain ASGI, as every request passes through it: one more wrapper costs as much time as
one statement less saves. What a call does is its handler's business.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from starlette.types import Receive, Scope, Send

from ..clock import Clock
from ..log import describe_failure, logger
from ..operations import Refused, Unavailable
from ..tokens import Identity, Role
from . import answers
from .admission import IDENTITY, Admission
from .answers import Reply
from .call import Call
from .connection import Caller
from .events import log_access
from .requests import RequestRefused

Handler = Callable[[Call], Awaitable[Reply]]

# The methods of a path, by its handler's method; `None` takes every method.
_METHODS: dict[str | None, tuple[str, ...]] = {"GET": ("GET", "HEAD"), "POST": ("POST",)}


class DateHeader:
    """The value of `Date` by the service's clock; it is formatted once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = (-1, b"")

    def value(self) -> bytes:
        """The present time, as HTTP writes it."""
        second = self._clock() // 1000
        if second != self._last[0]:
            self._last = (second, formatdate(second, usegmt=True).encode("ascii"))
        return self._last[1]


class Endpoint:
    """One path as an ASGI application.

    Every request gets an answer of the contract, whatever it is and whatever fails, and nothing
    that the caller sent is logged.
    """

    def __init__(
        self,
        admission: Admission,
        date: DateHeader,
        stopping: Callable[[], bool],
        handler: Handler,
        method: str | None = "POST",
        *,
        role: Role | None = Role.USE,
        largest_body: int = 1024 * 1024,
        logs_access: bool = False,
    ) -> None:
        self._admission = admission
        self._date = date
        self._stopping = stopping
        self._handler = handler
        self._methods = _METHODS.get(method)
        self._largest_body = largest_body
        self._role = role
        self._logs_access = logs_access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter() if self._logs_access else 0.0
        try:
            reply = await self._reply(scope, receive)
        except RequestRefused as error:
            # uvicorn reads the rest of the body, so that its sender can read this answer.
            reply = answers.refusal(error.refused)
        except Unavailable as error:
            reply = answers.unavailable(error)
        except asyncio.CancelledError:
            # Only a stop that has waited long enough cancels; the task ends here anyway.
            logger.warning("%s was not finished when the service stopped", scope["path"])
            reply = answers.internal_error("the service stopped before it was done")
        except Exception as error:
            logger.error("%s failed: %s", scope["path"], describe_failure(error))
            reply = answers.internal_error("the service failed; its log says why")
        headers = [*reply.headers, (b"date", self._date.value())]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        if self._logs_access:
            log_access(scope, reply, time.perf_counter() - began)

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        if self._stopping() and self._role is not None:
            raise Unavailable("stopping", "the service is stopping")
        identity = await self._admission.admit(scope, self._role)
        if not isinstance(identity, Identity):
            return identity
        scope[IDENTITY] = identity
        if self._methods is not None and scope["method"] not in self._methods:
            return answers.method_not_allowed(self._methods)
        body = await self._read_body(scope, receive)
        call = Call(body, scope["query_string"], scope, Caller(scope), identity)
        return await self._handler(call)

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body.

        Raises:
            RequestRefused: it is too large, or the connection broke off.
        """
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                if len(value) > 15 or int(value) > self._largest_body:
                    raise self._too_large()
        pieces: list[bytes] = []
        size = 0
        while True:
            try:
                message = await receive()
            except asyncio.CancelledError:
                message = {"type": "http.disconnect"}  # it had not come when the service stopped
            if message["type"] == "http.disconnect":
                raise RequestRefused(Refused("invalid_request", "body: it broke off", "body"))
            body = message.get("body", b"")
            size += len(body)
            if size > self._largest_body:
                raise self._too_large()
            pieces.append(body)
            if not message.get("more_body", False):
                return body if len(pieces) == 1 else b"".join(pieces)

    def _too_large(self) -> RequestRefused:
        message = f"the body is larger than {self._largest_body} bytes"
        return RequestRefused(Refused("request_too_large", message))

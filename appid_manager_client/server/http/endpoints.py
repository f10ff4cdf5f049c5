"""The plumbing under every call: authentication, method, size of the body, JSON for whatever happens, the date.

Written to plain ASGI: it is on the way of every request, and each wrapper more costs as much as a statement less saves.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate

from starlette.types import Receive, Scope, Send

from ..operations import BadRequest, Refused, describe
from .answers import Reply, refusal

logger = logging.getLogger("appid_manager_client.server")


@dataclass(slots=True)
class Call:
    """What an endpoint gets: the body, and the query as it came."""

    body: bytes
    query: bytes


Handler = Callable[[Call], Awaitable[Reply]]


class Gate:
    """Knows who may come in, and what time the service has; shared by the endpoints of one service."""

    def __init__(self, auth_token: str | None, clock: Callable[[], int]) -> None:
        self._expected = None if auth_token is None else auth_token.encode("ascii")
        self._clock = clock
        self._dated = (-1, b"")

    def admits(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether one of the two headers carries the token."""
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

    async def send(self, send: Send, answer: Reply) -> None:
        """Send `answer`, dated by the service's clock."""
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer.body)),
            (b"date", self._date()),
            *answer.headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _date(self) -> bytes:
        second = self._clock() // 1000
        if second != self._dated[0]:
            self._dated = (second, formatdate(second, usegmt=True).encode("ascii"))
        return self._dated[1]


_UNAUTHORIZED = Refused(
    "unauthorized",
    "a valid token is required: X-API-Key: TOKEN, or Authorization: Bearer TOKEN",
)


# Which methods a path takes that is meant for one; `None` takes them all.
_METHODS: dict[str | None, tuple[str, ...]] = {"GET": ("GET", "HEAD"), "POST": ("POST",)}


class Endpoint:
    """One path as an ASGI application: whatever comes, it is answered in JSON, and nothing of it goes to the log."""

    def __init__(
        self,
        gate: Gate,
        handler: Handler,
        method: str | None = "POST",
        *,
        limit: int = 1024 * 1024,
        public: bool = False,
    ) -> None:
        self._gate = gate
        self._handler = handler
        self._methods = _METHODS.get(method)
        self._limit = limit
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except BadRequest as error:
            # The server reads past what is left of the body, so that its sender gets to read this.
            answer = refusal(error.refused)
        except asyncio.CancelledError:
            # Only a stop that has waited long enough cancels; the task ends here anyway.
            logger.warning("%s was not finished when the service stopped", scope["path"])
            answer = refusal(Refused("internal_error", "the service stopped before it was done"))
        except Exception as error:
            logger.error("%s failed: %s", scope["path"], describe(error))
            answer = refusal(Refused("internal_error", "the service failed; its log says why"))
        await self._gate.send(send, answer)

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        if not self._public and not self._gate.admits(scope["headers"]):
            answer = refusal(_UNAUTHORIZED)
            answer.headers.append((b"www-authenticate", b"Bearer"))
            return answer
        if self._methods is not None and scope["method"] not in self._methods:
            answer = refusal(Refused("method_not_allowed", "this path takes another method"))
            answer.headers.append((b"allow", ", ".join(self._methods).encode("ascii")))
            return answer
        body = await self._read(scope, receive)
        return await self._handler(Call(body, scope["query_string"]))

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """The body, as long as it isn't larger than the limit."""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                if len(value) > 15 or int(value) > self._limit:
                    raise self._too_large()
        pieces: list[bytes] = []
        size = 0
        while True:
            try:
                message = await receive()
            except asyncio.CancelledError:
                message = {"type": "http.disconnect"}  # it had not come when the service stopped
            if message["type"] == "http.disconnect":
                raise BadRequest(Refused("invalid_request", "body: it broke off", "body"))
            body = message.get("body", b"")
            size += len(body)
            if size > self._limit:
                raise self._too_large()
            pieces.append(body)
            if not message.get("more_body", False):
                return body if len(pieces) == 1 else b"".join(pieces)

    def _too_large(self) -> BadRequest:
        message = f"the body is larger than {self._limit} bytes"
        return BadRequest(Refused("request_too_large", message))

"""A small HTTP/1.0 service that fails as a test asks, and records every call, for the test doubles.

Owns the connections, the queued faults, the gates and the record. What a call does is for the
subclass.
"""

from __future__ import annotations

import json
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from .faults import Fault, Faults, Hold, QueuedFault, When
from .tcp import Connection, LoopbackServer, RawRequest

Json = dict[str, Any]
Answer = tuple[int, Json]

_WEB_PAGE = b"<!DOCTYPE html><html><body><h1>Welcome to the proxy</h1></body></html>"


@dataclass(frozen=True)
class Call:
    """One request that was read. `time` is the service's time then, in seconds since the epoch."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    raw: RawRequest
    time: float
    fault: Fault | None

    def header(self, name: str) -> str | None:
        return self.raw.header(name)


class FaultyService:
    """Listens at `url` within its `with` block. `faults`: see `Faults.queue`."""

    def __init__(self, name: str) -> None:
        self.faults = Faults(full_path)
        self._lock = threading.Lock()  # guards the two lists
        self._calls: list[Call] = []
        self._holds: list[Hold] = []
        self._server = LoopbackServer(self._handle, name=name)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Open every gate, end every connection and thread."""
        with self._lock:
            holds = list(self._holds)
        for hold in holds:
            hold.release()
        self._server.close()

    def refusing(self) -> AbstractContextManager[None]:
        """Refuse connections within the block. The port and the state are kept."""
        return self._server.refusing()

    def hold(
        self, path: str | None = None, when: When = "before", times: int | None = None
    ) -> Hold:
        """Stop the next `times` calls of `path`, before or after the service acts, at a gate.

        By default all calls, of any path. The service acts even if the caller has closed meanwhile.
        """
        hold = Hold(None if path is None else full_path(path), when, times)
        with self._lock:
            self._holds.append(hold)
        return hold

    @property
    def calls(self) -> list[Call]:
        """Every request that was read, in order."""
        with self._lock:
            return list(self._calls)

    def calls_of(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == full_path(path)]

    def now(self) -> float:
        """The service's clock, in seconds since the Unix epoch."""
        raise NotImplementedError

    def _act(self, call: Call) -> Answer:
        """Act on a call. Returns the status and the body of the answer."""
        raise NotImplementedError

    def _handle(self, connection: Connection) -> None:
        path = urlsplit(connection.peek_target()).path
        queued = self.faults.take(path)
        if queued is not None and queued.fault is Fault.CLOSE_UNREAD:
            connection.reset()
            return
        request = connection.read_request()
        call = self._record(request, queued)
        if queued is not None and queued.fault is Fault.HANG:
            connection.wait(queued.released)
            if not queued.released.is_set():
                return
        status: int = 200
        body: Json = {}
        if queued is None or queued.acts:
            self._pass_gates(path, "before")
            status, body = self._act(call)
            self._pass_gates(path, "after")
        self._reply(connection, status, body, queued)

    def _reply(
        self, connection: Connection, status: int, body: Json, queued: QueuedFault | None
    ) -> None:
        fault = None if queued is None else queued.fault
        page = json.dumps(body).encode()
        extra: dict[str, str] = {}
        match fault:
            case Fault.LOSE_ANSWER:
                return
            case Fault.INTERNAL_ERROR:
                status = 500
                page = b'{"error": "internal_error", "message": "queued by a test"}'
            case Fault.UNAVAILABLE | Fault.TOO_MANY_REQUESTS:
                status = 503 if fault is Fault.UNAVAILABLE else 429
                page = json.dumps({"error": fault.value, "message": "queued by a test"}).encode()
                extra["Retry-After"] = str(queued.retry_after) if queued else ""
            case Fault.HTML:
                status, page, extra["Content-Type"] = 200, _WEB_PAGE, "text/html; charset=utf-8"
            case Fault.WRONG_SHAPE:
                status, page = 200, b'["not", "what", "you", "expected"]'
            case Fault.REDIRECT:
                status, page, extra["Location"] = 302, b"", queued.location if queued else ""
        data = self._head(status, len(page), extra) + page
        if fault in (Fault.RESET_HALF_WAY, Fault.TRUNCATE):
            connection.send(data[: len(data) - len(page) // 2 - 1])
            if fault is Fault.RESET_HALF_WAY:
                connection.reset()
            return
        connection.send(data)

    def _head(self, status: int, length: int, extra: dict[str, str]) -> bytes:
        headers = {
            "Server": "test-double/1.0",
            "Date": formatdate(self.now(), usegmt=True),
            "Content-Type": "application/json",
            "Content-Length": str(length),
            "Connection": "close",
            **extra,
        }
        lines = [f"HTTP/1.0 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _record(self, request: RawRequest, queued: QueuedFault | None) -> Call:
        target = urlsplit(request.target)
        try:
            body = json.loads(request.body) if request.body else None
        except ValueError:
            body = None
        call = Call(
            method=request.method,
            path=target.path,
            query={key: values[-1] for key, values in parse_qs(target.query).items()},
            body=body,
            raw=request,
            time=self.now(),
            fault=None if queued is None else queued.fault,
        )
        with self._lock:
            self._calls.append(call)
        return call

    def _pass_gates(self, path: str, when: When) -> None:
        with self._lock:
            holds = list(self._holds)
        for hold in holds:
            hold.pass_through(path, when)


def full_path(name: str) -> str:
    """The path of the contract for a short name such as "acquire". A path stays as it is."""
    if name.startswith("/"):
        return name
    return "/health" if name == "health" else f"/api/appid/{name}"

"""The legacy service of the field, as a test double: `FieldModel` behind HTTP/1.0, with faults, gates and a log.

Knows nothing of the extensions, closes the connection after each answer, and ignores fields that it doesn't know.
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

from .clock import TurnedClock
from .faults import Fault, Faults, Hold, Moment, QueuedFault
from .field_model import Answer, FieldModel, Grant, Json, Return, answer
from .tcp import Connection, LoopbackServer, RawRequest

FIELD_TOKEN = "field-token"

_ROUTES = {
    ("POST", "/api/appid/acquire"),
    ("POST", "/api/appid/release"),
    ("POST", "/api/appid/init"),
    ("GET", "/api/appid/status"),
    ("GET", "/health"),
}
_WEB_PAGE = b"<!DOCTYPE html><html><body><h1>Welcome to the proxy</h1></body></html>"


@dataclass(frozen=True)
class Call:
    """One request that was read. `time` is the service's clock at that moment, in seconds."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    raw: RawRequest
    time: float
    fault: Fault | None

    def header(self, name: str) -> str | None:
        return self.raw.header(name)


class FieldService:
    """A legacy service on a free loopback port.

    with FieldService() as service:
        service.init("stt_billing", {"a1": 1, "a2": 2})
        client = AppIdClient(service.url, auth_token=service.auth_token)

    - `offset`: its clock is that many seconds ahead of the real one; `frozen_at`: its clock stands
      still at that moment instead. Either way `advance` and `set_time` turn it (its Date header too).
    - `auth_token=None` lets everybody in.
    - the others: see `FieldModel`.
    """

    def __init__(
        self,
        *,
        auth_token: str | None = FIELD_TOKEN,
        offset: float = 0.0,
        frozen_at: float | None = None,
        zone_offset_minutes: int = 0,
        hour_seconds: float = 3600,
        accept_text_vids: bool = False,
        mixed_answer: str = "waiting",
    ) -> None:
        self.auth_token = auth_token
        self.clock = TurnedClock(offset, frozen_at=frozen_at)
        self.model = FieldModel(
            self.clock.time_ms,
            zone_offset_minutes=zone_offset_minutes,
            hour_seconds=hour_seconds,
            accept_text_vids=accept_text_vids,
            mixed_answer=mixed_answer,
        )
        self.faults = Faults(full_path)
        self._lock = threading.Lock()  # guards the two lists
        self._calls: list[Call] = []
        self._holds: list[Hold] = []
        self._server = LoopbackServer(self._handle, name="field-service")
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

    # What a test arranges

    def init(self, product: str, appids: dict[str, Any]) -> None:
        """As the call, without HTTP."""
        status, body = self.model.init({"productName": product, "appids": appids})
        assert status == 200, body

    def advance(self, seconds: float) -> None:
        """Turn the clock forward."""
        self.clock.advance(seconds)

    def advance_to_next_hour(self, past: float = 0.0) -> None:
        """Turn the clock to the next hour of the service, `past` seconds after its start."""
        self.clock.set_time(self.model.hour_end() / 1000 + past)

    def set_time(self, seconds: float) -> None:
        self.clock.set_time(seconds)

    def refusing(self) -> AbstractContextManager[None]:
        """Within the block connections are refused; the port stays ours, and the state is kept."""
        return self._server.refusing()

    def forget(self) -> None:
        """Lose everything, as a restart does in the field."""
        self.model.forget()

    def hold(
        self, path: str | None = None, when: Moment = "before", times: int | None = None
    ) -> Hold:
        """Stop the next `times` calls (all) of `path` (any) before or after the deed, until `release()`.

        The deed is done, or was done, even if the caller has gone away meanwhile.
        """
        hold = Hold(None if path is None else full_path(path), when, times)
        with self._lock:
            self._holds.append(hold)
        return hold

    # What a test looks at

    @property
    def calls(self) -> list[Call]:
        """Every request that was read, in order."""
        with self._lock:
            return list(self._calls)

    def calls_of(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == full_path(path)]

    @property
    def grants(self) -> list[Grant]:
        return self.model.grants

    @property
    def returns(self) -> list[Return]:
        return self.model.returns

    def in_use(self, product: str | None = None) -> list[str]:
        return self.model.in_use(product)

    # HTTP

    def _handle(self, connection: Connection) -> None:
        path = urlsplit(connection.peek_target()).path
        queued = self.faults.take(path)
        if queued is not None and queued.fault is Fault.CLOSE_UNREAD and not queued.acts:
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
            case Fault.LOSE_ANSWER | Fault.CLOSE_UNREAD:
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
            "Server": "field/1.0",
            "Date": formatdate(self.clock.time(), usegmt=True),
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
            time=self.clock.time(),
            fault=None if queued is None else queued.fault,
        )
        with self._lock:
            self._calls.append(call)
        return call

    def _pass_gates(self, path: str, when: Moment) -> None:
        with self._lock:
            holds = list(self._holds)
        for hold in holds:
            hold.pass_through(path, when)

    def _act(self, call: Call) -> Answer:
        if call.path != "/health" and not self._is_authorised(call):
            return 401, {"error": "unauthorized", "message": "a valid token is required"}
        if (call.method, call.path) not in _ROUTES:
            return 404, {"error": "not_found", "message": f"no {call.method} {call.path}"}
        return answer(lambda: self._dispatch(call))

    def _dispatch(self, call: Call) -> Answer:
        match call.path.rpartition("/")[2]:
            case "acquire":
                return self.model.acquire(_decoded(call))
            case "release":
                return self.model.release(_decoded(call))
            case "init":
                return self.model.init(_decoded(call))
            case "status":
                return self.model.status(call.query.get("productName"))
            case _:
                return self.model.health()

    def _is_authorised(self, call: Call) -> bool:
        if self.auth_token is None:
            return True
        return (
            call.header("X-API-Key") == self.auth_token
            or call.header("Authorization") == f"Bearer {self.auth_token}"
        )


def full_path(name: str) -> str:
    """`"acquire"` as a path of the contract; what already is a path stays as it is."""
    if name.startswith("/"):
        return name
    return "/health" if name == "health" else f"/api/appid/{name}"


def _decoded(call: Call) -> Any:
    # Decoded again so that what isn't JSON surprises the service, as it does in the field.
    return json.loads(call.raw.body) if call.raw.body else None

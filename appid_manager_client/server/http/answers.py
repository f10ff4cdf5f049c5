"""The answers of the wire contract: outcomes and refusals as JSON, each with its status.

The field names, the statuses and the error bodies of the contract stand here and in `listings`,
and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Any

from ..._version import __version__
from ..hours import Hour
from ..operations import (
    Exhausted,
    Extended,
    Granted,
    InLine,
    Initialized,
    Outcome,
    Paused,
    Refused,
    Released,
    Reserved,
    Unavailable,
)
from ..tokens import Identity, Role

Header = tuple[bytes, bytes]

# A caller that knows only `retry_after` looks again now and then, however long the wait is.
_LONGEST_RETRY_AFTER = 300

# The status of a refusal is 400 unless it stands here.
_STATUS_OF = {
    "appid_conflict": 409,
    "changed": 409,
    "forbidden": 403,
    "foreign_origin": 403,
    "in_use": 409,
    "internal_error": 500,
    "lease_mismatch": 409,
    "method_not_allowed": 405,
    "not_found": 404,
    "product_not_found": 404,
    "request_abandoned": 409,
    "request_ended": 409,
    "request_timeout": 408,
    "request_too_large": 413,
    "too_many_waiting": 429,
    "unauthorized": 401,
}

_PAUSED_RETRY_AFTER = 60

_ENTRIES_AT_ONCE = 500

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, and what it needs beside the headers that every answer has."""

    body: bytes
    status: int = 200
    extra_headers: tuple[Header, ...] = ()
    content_type: bytes = b"application/json"

    @property
    def headers(self) -> list[Header]:
        """The headers of the answer, without `Date`."""
        return [
            (b"content-type", self.content_type),
            (b"content-length", b"%d" % len(self.body)),
            *self.extra_headers,
        ]


def outcome(result: Outcome) -> Reply:
    """The answer to an operation."""
    match result:
        case Granted():
            return as_json(_granted(result))
        case Exhausted():
            return as_json(_exhausted(result), 202)
        case Released():
            return as_json(_released(result))
        case Initialized():
            return as_json(_initialized(result))
        case Reserved():
            return as_json(_reserved(result))
        case Paused():
            return as_json(_paused(result))
        case Extended():
            return as_json({"renewed": result.expires, "lost": result.lost})
        case Refused():
            return refusal(result)
    raise TypeError(f"no answer is made from {type(result).__name__}")


def health(now: int, hour: Hour, fault: Unavailable | None) -> Reply:
    """The answer to `GET /health`; `fault` is why the service can't work now."""
    body: dict[str, Any] = {
        "status": "healthy",
        "timestamp": now,
        "serverTime": now,
        "hourStart": hour.start,
        "hourEnd": hour.end,
        "version": __version__,
    }
    if fault is None:
        return as_json(body)
    return _unavailable(fault, {**body, "status": "unhealthy"})


def ready(fault: Unavailable | None) -> Reply:
    """The answer to `GET /ready`; `fault` is why a write would not be taken now."""
    if fault is None:
        return as_json({"status": "ready"})
    return _unavailable(fault, {"status": "unready"})


def live() -> Reply:
    """The answer to `GET /live`."""
    return as_json({"status": "live"})


def refusal(refused: Refused, *extra_headers: Header) -> Reply:
    """The answer to a request that was refused."""
    body = {"error": refused.code, "message": refused.message}
    if refused.field is not None:
        body["field"] = refused.field
    return as_json(body, _STATUS_OF.get(refused.code, 400), *extra_headers)


def unauthorized() -> Reply:
    """The answer to a request without the token."""
    message = "a valid token is required: X-API-Key: TOKEN, or Authorization: Bearer TOKEN"
    return refusal(Refused("unauthorized", message), (b"www-authenticate", b"Bearer"))


def forbidden(identity: Identity, role: Role) -> Reply:
    """The answer to a request whose token is not good for it."""
    message = f"the token {identity.name!r} has the role {identity.role.word}, not {role.word}"
    return refusal(Refused("forbidden", message))


def caller_gone() -> Reply:
    """The answer to an acquire that was not granted, as its caller may be gone."""
    message = (
        "the connection was closed for sending before the answer: an acquire is then granted only "
        "with a requestId, which can ask for the grant again"
    )
    return refusal(Refused("invalid_request", message, "requestId"))


def foreign_origin(header: str, advice: str) -> Reply:
    """The answer to a request that a page of another site may have sent."""
    return refusal(Refused("foreign_origin", f"{header}: {advice}"))


def not_found() -> Reply:
    """The answer to a request for an unknown path."""
    return refusal(Refused("not_found", "there is nothing at this path"))


def method_not_allowed(allowed: Iterable[str]) -> Reply:
    """The answer to a request whose path takes other methods."""
    message = "this path takes another method"
    header = (b"allow", ", ".join(allowed).encode("ascii"))
    return refusal(Refused("method_not_allowed", message), header)


def internal_error(message: str) -> Reply:
    """The answer to a request that the service could not carry out."""
    return refusal(Refused("internal_error", message))


def unavailable(error: Unavailable) -> Reply:
    """The answer to a request while the service can't do anything, and when to ask again."""
    return _unavailable(error, {})


def invalid_http(message: str) -> Reply:
    """The answer to bytes that are no HTTP request; the connection is closed after it."""
    return refusal(Refused("invalid_request", message), (b"connection", b"close"))


def request_timeout(awaited: str) -> Reply:
    """The answer to a request that didn't come in time; the connection is closed after it."""
    refused = Refused("request_timeout", f"{awaited} did not come in time")
    return refusal(refused, (b"connection", b"close"))


def too_many_connections() -> Reply:
    """The answer to a connection for which there is no room; it is closed after it."""
    message = "the service has as many connections as it can have: try again"
    body = {"error": "unavailable", "reason": "busy", "message": message}
    return as_json(body, 503, (b"retry-after", b"1"), (b"connection", b"close"))


def as_bytes(reply: Reply) -> bytes:
    """A whole answer as it goes over the wire, where no handler sends it."""
    lines = [b"HTTP/1.1 %d %s" % (reply.status, HTTPStatus(reply.status).phrase.encode("ascii"))]
    lines += [name + b": " + value for name, value in reply.headers]
    return b"\r\n".join([*lines, b"", reply.body])


def as_json(body: dict[str, Any], status: int = 200, *extra_headers: Header) -> Reply:
    """An answer whose body is `body`."""
    # The encoder escapes everything that isn't ASCII.
    return Reply(_encode(body).encode("ascii"), status, extra_headers)


def as_json_with(body: dict[str, Any], name: str, entries: Iterable[dict[str, Any]]) -> Reply:
    """The same, with a long list as its member `name`.

    It is encoded in slices: no other thread runs while the encoder does, and a hundred thousand
    entries take it a quarter of a second.
    """
    pieces = []
    rest = iter(entries)
    while part := list(islice(rest, _ENTRIES_AT_ONCE)):
        pieces.append(_encode(part)[1:-1])
    members = [*([_encode(body)[1:-1]] if body else []), f"{_encode(name)}:[{','.join(pieces)}]"]
    return Reply(f"{{{','.join(members)}}}".encode("ascii"))


def _unavailable(error: Unavailable, more: dict[str, Any]) -> Reply:
    body = {"error": "unavailable", "reason": error.reason, "message": error.message, **more}
    return as_json(body, 503, (b"retry-after", b"%d" % error.retry_after))


def _granted(grant: Granted) -> dict[str, Any]:
    return {
        "appid": grant.appid,
        "vid": grant.vid,
        "productName": grant.product,
        "starttime": grant.start,
        "leaseId": grant.lease_id,
        "expiresAt": grant.expires,
        "serverTime": grant.now,
        "hourEnd": grant.hour_end,
        "fence": grant.fence,
    }


def _exhausted(exhausted: Exhausted) -> dict[str, Any]:
    seconds = -((exhausted.now - exhausted.available_at) // 1000)  # rounded up
    if exhausted.paused:
        seconds = max(min(seconds, _PAUSED_RETRY_AFTER), 1)
        message = f"product {exhausted.product!r} is paused: nothing is granted"
    elif exhausted.available_at > exhausted.hour_end:
        message = (
            f"the last use of every AppID of product {exhausted.product!r} lies in the future, as "
            "the service's clock was ahead; 'appid-manager reserve --free APPID' mends that"
        )
    elif exhausted.reason == "waiting":
        message = f"every AppID of product {exhausted.product!r} is in use"
    else:
        message = f"every AppID of product {exhausted.product!r} was used in this hour"
    body = {
        "error": exhausted.reason,
        "message": message,
        "retry_after": min(max(seconds, 1), _LONGEST_RETRY_AFTER),
        "availableAt": exhausted.available_at,
        "serverTime": exhausted.now,
        "hourEnd": exhausted.hour_end,
    }
    if exhausted.paused:
        body["paused"] = True
    if exhausted.line is not None:
        body |= _in_line(exhausted.line)
    return body


def _in_line(line: InLine) -> dict[str, Any]:
    start, by, until = line.check_in
    return {
        "ticket": line.ticket,
        "place": line.place,
        "waiting": line.waiting,
        "due": line.due,
        "checkIn": {"from": start, "by": by, "until": until},
    }


def _released(released: Released) -> dict[str, Any]:
    if released.appid is None:
        message = "the request was given up before it got an AppID"
    else:
        message = f"AppID {released.appid!r} is released"
    return {
        "success": True,
        "appid": released.appid,
        "productName": released.product,
        "stoptime": released.stop,
        "message": message,
    }


def _initialized(done: Initialized) -> dict[str, Any]:
    return {
        "success": True,
        "productName": done.product,
        "removed_count": done.removed,
        "added_count": done.added,
        "ended": done.ended,
        "message": (
            f"product {done.product!r}: {done.added} AppIDs added, {done.removed} removed, "
            f"{done.ended} live leases ended"
        ),
    }


_RESERVED = {
    "reserved": "is reserved",
    "in_use": "is in use, and reserved from its release on",
}
_IN_USE_AGAIN = {
    "available": "is available",
    "used_in_current_hour": "was used in this hour, and is available when the hour turns",
    "in_use": "is in use, and not reserved any more",
}


def _reserved(done: Reserved) -> dict[str, Any]:
    said = _RESERVED if done.reserved else _IN_USE_AGAIN
    return {
        "success": True,
        "appid": done.appid,
        "productName": done.product,
        "reserved": done.reserved,
        "note": done.note,
        "status": done.state,
        "serverTime": done.now,
        "message": f"AppID {done.appid!r} {said[done.state]}",
    }


def _paused(done: Paused) -> dict[str, Any]:
    state = "is paused: nothing is granted" if done.paused else "is not paused"
    return {
        "success": True,
        "productName": done.product,
        "paused": done.paused,
        "note": done.note,
        "serverTime": done.now,
        "message": f"product {done.product!r} {state}",
    }

"""From outcomes to the bodies and statuses of the wire contract."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ..operations import (
    Exhausted,
    Granted,
    Initialised,
    Outcome,
    Refused,
    Released,
    Renewed,
)

# Long waits are told in pieces, so that a caller that knows only this number looks again now and then.
_LONGEST_RETRY_AFTER = 300


def answer(outcome: Outcome) -> Reply:
    """The answer to an operation."""
    match outcome:
        case Granted():
            return reply(_granted(outcome))
        case Exhausted():
            return reply(_exhausted(outcome), 202)
        case Released():
            return reply(_released(outcome))
        case Initialised():
            return reply(_initialised(outcome))
        case Renewed():
            return reply({"renewed": outcome.renewed, "lost": outcome.lost})
        case Refused():
            return refusal(outcome)
    raise TypeError(f"no answer is made from {type(outcome).__name__}")


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
    }


def _exhausted(nothing: Exhausted) -> dict[str, Any]:
    seconds = -((nothing.now - nothing.available_at) // 1000)
    if nothing.reason == "waiting":
        message = f"every AppID of product {nothing.product!r} is in use"
    else:
        message = f"every AppID of product {nothing.product!r} was used in this hour"
    return {
        "error": nothing.reason,
        "message": message,
        "retry_after": min(max(seconds, 1), _LONGEST_RETRY_AFTER),
        "availableAt": nothing.available_at,
        "serverTime": nothing.now,
        "hourEnd": nothing.hour_end,
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


def _initialised(done: Initialised) -> dict[str, Any]:
    return {
        "success": True,
        "productName": done.product,
        "removed_count": done.removed,
        "added_count": done.added,
        "message": f"product {done.product!r}: {done.added} AppIDs added, {done.removed} removed",
    }


_encode = json.JSONEncoder(separators=(",", ":")).encode


_STATUS_OF = {
    "appid_conflict": 409,
    "internal_error": 500,
    "lease_mismatch": 409,
    "method_not_allowed": 405,
    "not_found": 404,
    "product_not_found": 404,
    "request_abandoned": 409,
    "request_ended": 409,
    "request_too_large": 413,
    "unauthorized": 401,
}


@dataclass(slots=True)
class Reply:
    """An answer: a JSON object with its status, and headers beside the usual ones."""

    body: bytes
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


def reply(body: dict[str, Any], status: int = 200) -> Reply:
    """`body` as JSON, in plain ASCII."""
    return Reply(_encode(body).encode("ascii"), status)


def refusal(refused: Refused) -> Reply:
    """The answer to what was refused."""
    body = {"error": refused.code, "message": refused.message}
    if refused.field is not None:
        body["field"] = refused.field
    return reply(body, _STATUS_OF.get(refused.code, 400))


def no_request(why: str) -> Reply:
    """The answer to what can't be read; the connection ends with it."""
    answer = refusal(Refused("invalid_request", why))
    answer.headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(answer.body)),
        (b"connection", b"close"),
    ]
    return answer

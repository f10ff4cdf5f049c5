"""From outcomes to the bodies and statuses of the wire contract."""

from __future__ import annotations

from typing import Any

from .endpoints import Reply, refusal, reply
from .operations import Exhausted, Granted, Initialised, Outcome, Refused, Released, Renewed

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

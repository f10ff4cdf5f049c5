"""What every call takes and answers, as schemas: the calls themselves, without the document.

Answers are described here, beside `answers` and `listings`, which make them; a test holds both
against a running service. What may be sent comes from `requests` itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from ..tokens import Role
from . import requests

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "integer"}
TIME: Schema = {"type": "integer", "description": "milliseconds since the Unix epoch"}
VID: Schema = {"anyOf": [TEXT, NUMBER]}


class Call(NamedTuple):
    """One call.

    Attributes:
        path: where it is.
        method: in lower case.
        summary: what it does, in a sentence.
        role: what its token must be good for; `None`: it needs no token.
        sent: the fields of its body or its query.
        answers: the schema of each answer that is no refusal, by status.
        refusals: the statuses of its refusals, beside those that every call has.
        required: the fields without which it is refused.
    """

    path: str
    method: str
    summary: str
    role: Role | None
    sent: type[BaseModel] | None
    answers: dict[int, Schema]
    refusals: Sequence[int] = ()
    required: Sequence[str] = ()


def _object(optional: Schema | None = None, /, **fields: Schema) -> Schema:
    """An object with just these fields; those of `optional` may be missing."""
    return {
        "type": "object",
        "properties": {**fields, **(optional or {})},
        "required": [*fields],
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


REFUSAL = _object(
    {"field": TEXT, "reason": TEXT, "status": TEXT},
    error=TEXT,
    message=TEXT,
)
_PAUSE: Schema = {"paused": {"const": True}, "pausedSince": TIME, "pauseNote": _or_null(TEXT)}
_STATE: Schema = {"enum": ["available", "in_use", "used_in_current_hour", "reserved"]}
_GRANT = _object(
    appid=TEXT,
    vid=VID,
    productName=TEXT,
    starttime=TIME,
    leaseId=TEXT,
    expiresAt=_or_null(TIME),
    serverTime=TIME,
    hourEnd=TIME,
    fence=_or_null(NUMBER),
)
_CHECK_IN = _object(**{"from": TIME, "by": TIME, "until": TIME})
_WAIT = _object(
    {
        "ticket": TEXT,
        "place": NUMBER,
        "waiting": NUMBER,
        "due": TRUTH,
        "checkIn": _CHECK_IN,
        "paused": {"const": True},
    },
    error={"enum": ["waiting", "no_available"]},
    message=TEXT,
    retry_after=NUMBER,
    availableAt=TIME,
    serverTime=TIME,
    hourEnd=TIME,
)
_ENTRY = _object(
    {"holder": _or_null(TEXT), "expiresAt": _or_null(TIME), "reserved": TRUTH}
    | {"note": _or_null(TEXT)},
    appid=TEXT,
    vid=VID,
    productName=TEXT,
    starttime=_or_null(TIME),
    stoptime=_or_null(TIME),
    status=_STATE,
    is_available=TRUTH,
    stoptime_hour=_or_null(TIME),
    current_hour=TIME,
    fence=_or_null(NUMBER),
)
_STATUS = _object(
    {"total": NUMBER, "available": NUMBER, "in_use": NUMBER, "released": NUMBER}
    | {"productName": TEXT, "next": NUMBER, "appids": _list(_ENTRY)}
    | _PAUSE
)
_LEASE = _object(
    leaseId=_or_null(TEXT),
    appid=TEXT,
    vid=VID,
    productName=TEXT,
    holder=_or_null(TEXT),
    starttime=TIME,
    stoptime=_or_null(TIME),
    ended=_or_null({"enum": ["released", "expired", "reset"]}),
    expiresAt=_or_null(TIME),
    fence=_or_null(NUMBER),
    token=_or_null(TEXT),
    endedBy=_or_null(TEXT),
)
_ACT = _object(
    at=TIME,
    act={"enum": ["init", "release", "reserve", "free", "pause", "resume"]},
    productName=TEXT,
    appid=_or_null(TEXT),
    leaseId=_or_null(TEXT),
    token=_or_null(TEXT),
    by=_or_null(TEXT),
    note=_or_null(TEXT),
)
_WAITER = _object(
    place=NUMBER, holder=_or_null(TEXT), since=TIME, heard=TIME, forced=TRUTH, due=TRUTH
)
_PRODUCT = _object(
    _PAUSE,
    productName=TEXT,
    total=NUMBER,
    available=NUMBER,
    in_use=NUMBER,
    waiting=NUMBER,
    next=_or_null(TIME),
)
_HEALTH = {"timestamp": TIME, "serverTime": TIME, "hourStart": TIME, "hourEnd": TIME}
_UNHEALTHY = _object(
    {**_HEALTH, "version": TEXT},
    error={"const": "unavailable"},
    reason=TEXT,
    message=TEXT,
    status=TEXT,
)

CALLS = (
    Call(
        "/api/appid/acquire",
        "post",
        "Grants an AppID, or says when to ask again.",
        Role.USE,
        requests.AcquireBody,
        {200: _GRANT, 202: _WAIT},
        (404, 409, 429),
        required=("productName",),
    ),
    Call(
        "/api/appid/release",
        "post",
        "Takes an AppID back, or gives up a request or a place in line.",
        Role.USE,
        requests.ReleaseBody,
        {
            200: _object(
                success={"const": True},
                appid=_or_null(TEXT),
                productName=TEXT,
                stoptime=TIME,
                message=TEXT,
            )
        },
        (409,),
        required=("productName",),
    ),
    Call(
        "/api/appid/heartbeat",
        "post",
        "Extends leases, each by its own ttl.",
        Role.USE,
        requests.HeartbeatBody,
        {
            200: _object(
                renewed={"type": "object", "additionalProperties": _or_null(TIME)},
                lost=_list(TEXT),
            )
        },
    ),
    Call(
        "/api/appid/init",
        "post",
        "Sets the AppIDs of a product.",
        Role.ADMIN,
        requests.InitBody,
        {
            200: _object(
                success={"const": True},
                productName=TEXT,
                removed_count=NUMBER,
                added_count=NUMBER,
                ended=NUMBER,
                message=TEXT,
            )
        },
        (409,),
        required=("productName", "appids"),
    ),
    Call(
        "/api/appid/reserve",
        "post",
        "Takes an AppID out of use, or back into use.",
        Role.ADMIN,
        requests.ReserveBody,
        {
            200: _object(
                success={"const": True},
                appid=TEXT,
                productName=TEXT,
                reserved=TRUTH,
                note=_or_null(TEXT),
                status=_STATE,
                serverTime=TIME,
                message=TEXT,
            )
        },
        (409,),
        required=("productName", "appid", "reserved"),
    ),
    Call(
        "/api/appid/pause",
        "post",
        "Stops the grants of a product, or lets them go on.",
        Role.ADMIN,
        requests.PauseBody,
        {
            200: _object(
                success={"const": True},
                productName=TEXT,
                paused=TRUTH,
                note=_or_null(TEXT),
                serverTime=TIME,
                message=TEXT,
            )
        },
        (404,),
        required=("productName", "paused"),
    ),
    Call(
        "/api/appid/status",
        "get",
        "Counts the AppIDs of a product, or of all, and lists them.",
        Role.READ,
        requests.StatusFields,
        {200: _STATUS},
    ),
    Call(
        "/api/appid/products",
        "get",
        "Counts the AppIDs of each product.",
        Role.READ,
        None,
        {200: _object(products=_list(_PRODUCT), serverTime=TIME, hourEnd=TIME)},
    ),
    Call(
        "/api/appid/line",
        "get",
        "Lists who waits for a product.",
        Role.READ,
        requests.LineFields,
        {
            200: _object(
                {"next": NUMBER},
                productName=TEXT,
                line=_list(_WAITER),
                waiting=NUMBER,
                serverTime=TIME,
                hourEnd=TIME,
            )
        },
        required=("productName",),
    ),
    Call(
        "/api/appid/history",
        "get",
        "Lists who had which AppID when, and what operators did.",
        Role.READ,
        requests.HistoryFields,
        {200: _object(leases=_list(_LEASE), acts=_list(_ACT), serverTime=TIME)},
    ),
    Call("/metrics", "get", "Figures for Prometheus.", Role.READ, None, {200: TEXT}),
    Call(
        "/health",
        "get",
        "Says whether the service can work, and what time it is there.",
        None,
        None,
        {
            200: _object(status={"const": "healthy"}, **_HEALTH, version=TEXT),
            503: _UNHEALTHY,
        },
    ),
    Call(
        "/ready",
        "get",
        "Says whether a write would be taken now.",
        None,
        None,
        {200: _object(status={"const": "ready"}), 503: _UNHEALTHY},
    ),
    Call(
        "/live",
        "get",
        "Says that the process serves.",
        None,
        None,
        {200: _object(status={"const": "live"})},
    ),
    Call(
        "/openapi.json",
        "get",
        "This description.",
        None,
        None,
        {200: {"type": "object"}},
    ),
)
"""All calls, in the order in which the page shows them."""

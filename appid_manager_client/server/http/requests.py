"""Requests into operations and queries: what each body and query may hold, field by field.

Unknown fields are ignored; anything else that is wrong is a `RequestRefused`. Bodies are read as
JSON whatever their content type says, as the field services do.
"""

from __future__ import annotations

from typing import Annotated, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationError,
)

from ..operations import (
    Abandon,
    Acquire,
    By,
    Heartbeat,
    Init,
    Leave,
    Operation,
    Pause,
    Refused,
    Release,
    Reserve,
)
from ..records import HistoryQuery, LineQuery, StatusQuery


class RequestRefused(Exception):
    """A request that never reaches the store.

    Attributes:
        refused: why, for its sender.
    """

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.code)
        self.refused = refused


def parse_acquire(body: bytes, token: str | None) -> tuple[Acquire, int | None]:
    """The operation that the body of an acquire asks for; `token` is the name of its sender's.

    With it for how many milliseconds its sender waits in line for the answer; `None`: it takes no
    place there.
    """
    asked = _parse_body(AcquireBody, body)
    operation = Acquire(
        _product(asked),
        bool(asked.force),
        _hex(asked.request_id),
        None if asked.ttl is None else _milliseconds(asked.ttl),
        asked.holder,
        asked.ticket,
        not_before=asked.not_before,
        min_remaining_ms=_milliseconds(asked.min_remaining or 0.0),
        token=token,
    )
    if asked.wait is None:
        return operation, None
    if operation.request_id is None:
        message = "requestId is required with wait: it is asked again with it"
        raise RequestRefused(Refused("invalid_request", message, "requestId"))
    return operation, _milliseconds(asked.wait)


def parse_release(body: bytes, token: str | None) -> Operation:
    """The operation that the body of a release asks for.

    It names an AppID, a place in line, or the request whose answer was lost. One with a note is
    forced.
    """
    asked = _parse_body(ReleaseBody, body)
    _require_data(asked)
    request_id = _hex(asked.request_id)
    if not asked.appid and request_id is None and asked.ticket is None:
        message = "appid is required, or a requestId, or a ticket"
        raise RequestRefused(Refused("missing_appid", message, "appid"))
    product = _product(asked)
    if asked.appid:
        by = By(token, asked.by or None, asked.note or None)
        forced = by.note is not None
        return Release(product, asked.appid, asked.lease_id, request_id, by, forced)
    if asked.ticket is not None:
        return Leave(product, asked.ticket)
    assert request_id is not None
    return Abandon(product, request_id, By(token))


def parse_init(body: bytes, token: str | None) -> Operation:
    """The operation that the body of an init asks for."""
    asked = _parse_body(InitBody, body)
    _require_data(asked)
    product = _product(asked)
    if not asked.appids:
        message = "appids is required: an object of AppID and vid"
        raise RequestRefused(Refused("missing_appids", message, "appids"))
    return Init(product, asked.appids, bool(asked.keep_state), By(token))


def parse_reserve(body: bytes, token: str | None) -> Operation:
    """The operation that the body of a reserve asks for."""
    asked = _parse_body(ReserveBody, body)
    _require_data(asked)
    if not asked.appid:
        raise RequestRefused(Refused("missing_appid", "appid is required", "appid"))
    product = _product(asked)
    if asked.reserved is None:
        message = "reserved is required: true, or false to take the AppID back into use"
        raise RequestRefused(Refused("invalid_request", message, "reserved"))
    by = By(token, asked.by or None, asked.note or None)
    return Reserve(product, asked.appid, asked.reserved, by)


def parse_pause(body: bytes, token: str | None) -> Operation:
    """The operation that the body of a pause asks for."""
    asked = _parse_body(PauseBody, body)
    _require_data(asked)
    product = _product(asked)
    if asked.paused is None:
        message = "paused is required: true, or false to have AppIDs granted again"
        raise RequestRefused(Refused("invalid_request", message, "paused"))
    return Pause(product, asked.paused, By(token, asked.by or None, asked.note or None))


def parse_heartbeat(body: bytes, received: int) -> Operation:
    """The operation that the body of a heartbeat asks for; `received` is when it came."""
    return Heartbeat(_parse_body(HeartbeatBody, body).lease_ids, received)


def parse_status(query: bytes) -> StatusQuery:
    """The AppIDs that the query of a status asks for."""
    asked = _parse_query(StatusFields, query)
    limit = asked.limit if asked.after is None else asked.limit or _LARGEST_PAGE
    return StatusQuery(asked.product or None, asked.details, limit, asked.after)


def parse_line(query: bytes) -> LineQuery:
    """The waiters that the query of a line asks for."""
    asked = _parse_query(LineFields, query)
    return LineQuery(_product(asked), asked.limit, asked.after)


def parse_history(query: bytes) -> HistoryQuery:
    """The leases that the query of a history asks for."""
    asked = _parse_query(HistoryFields, query)
    return HistoryQuery(
        asked.product or None, asked.appid or None, asked.since, asked.limit, asked.before
    )


# The fields

_NAME_LENGTH = 256
_LARGEST = 2**63 - 1
_LARGEST_PAGE = 10_000  # AppIDs, or leases


def storable(text: str) -> str:
    """Refuse text that not every database can hold."""
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


_Name = Annotated[
    str, StringConstraints(strict=True, max_length=_NAME_LENGTH), AfterValidator(storable)
]
_AppId = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=_NAME_LENGTH),
    AfterValidator(storable),
]
_Vid = (
    Annotated[str, StringConstraints(strict=True, max_length=1024), AfterValidator(storable)]
    | Annotated[StrictInt, Field(ge=-_LARGEST, le=_LARGEST)]
)
_Holder = Annotated[str, StringConstraints(strict=True, max_length=200), AfterValidator(storable)]
_Note = Annotated[str, StringConstraints(strict=True, max_length=500), AfterValidator(storable)]
_Ttl = Annotated[float, Field(strict=True, ge=1, le=3600, allow_inf_nan=False)]
_Wait = Annotated[float, Field(strict=True, ge=0, le=20, allow_inf_nan=False)]
_Remaining = Annotated[float, Field(strict=True, ge=0, le=100_000, allow_inf_nan=False)]
_Ticket = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    product: _Name | None = Field(None, alias="productName")


class AcquireBody(_Fields):
    """The body of an acquire."""

    force: StrictBool | None = Field(None, alias="forceAcquire")
    request_id: UUID | None = Field(None, alias="requestId")
    ttl: _Ttl | None = None
    holder: _Holder | None = None
    wait: _Wait | None = None
    ticket: _Ticket | None = None
    not_before: Annotated[StrictInt, Field(ge=0, le=_LARGEST)] | None = Field(
        None, alias="notBefore"
    )
    min_remaining: _Remaining | None = Field(None, alias="minRemaining")


class _ActBody(_Fields):
    note: _Note | None = None
    by: _Holder | None = None


class ReleaseBody(_ActBody):
    """The body of a release."""

    appid: _Name | None = None
    lease_id: _Name | None = Field(None, alias="leaseId")
    request_id: UUID | None = Field(None, alias="requestId")
    ticket: _Ticket | None = None


class ReserveBody(_ActBody):
    """The body of a reserve."""

    appid: _Name | None = None
    reserved: StrictBool | None = None


class PauseBody(_ActBody):
    """The body of a pause."""

    paused: StrictBool | None = None


class InitBody(_Fields):
    """The body of an init."""

    appids: dict[_AppId, _Vid] | None = Field(
        None, validation_alias=AliasChoices("appids", "appIds")
    )
    keep_state: StrictBool | None = Field(None, alias="keepState")


class HeartbeatBody(_Fields):
    """The body of a heartbeat."""

    lease_ids: list[_Name] = Field(alias="leaseIds")


class StatusFields(_Fields):
    """The query of a status."""

    details: bool = True
    limit: Annotated[int, Field(ge=1, le=_LARGEST_PAGE)] | None = None
    after: Annotated[int, Field(ge=0, le=_LARGEST)] | None = None


class LineFields(_Fields):
    """The query of a line."""

    limit: Annotated[int, Field(ge=1, le=_LARGEST_PAGE)] = 1_000
    after: Annotated[int, Field(ge=0, le=_LARGEST)] = 0


class HistoryFields(_Fields):
    """The query of a history."""

    appid: _Name | None = None
    since: Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)] | None = None
    before: Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)] | None = None
    limit: Annotated[int, Field(ge=1, le=_LARGEST_PAGE)] = 100


_FieldsT = TypeVar("_FieldsT", bound=_Fields)


def _parse_body(fields: type[_FieldsT], body: bytes) -> _FieldsT:
    if not body.strip() or body.strip() == b"null":
        body = b"{}"
    try:
        return fields.model_validate_json(body)
    except ValidationError as error:
        raise RequestRefused(_explain(error)) from None


def _parse_query(fields: type[_FieldsT], query: bytes) -> _FieldsT:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    try:
        return fields.model_validate(dict(pairs))
    except ValidationError as error:
        raise RequestRefused(_explain(error)) from None


def _explain(error: ValidationError) -> Refused:
    # Without the input, which the caller knows and which can be long.
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = str(first["loc"][0]) if first["loc"] else "body"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "model_type":
        message = "a JSON object is required"
    return Refused("invalid_request", f"{field}: {message}", field)


def _product(asked: _Fields) -> str:
    if asked.product is None or not asked.product.strip():
        message = "productName is required"
        raise RequestRefused(Refused("missing_product_name", message, "productName"))
    return asked.product


def _require_data(asked: _Fields) -> None:
    if not asked.model_fields_set:
        message = "a JSON object with data is required"
        raise RequestRefused(Refused("missing_data", message, "body"))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _hex(request_id: UUID | None) -> str | None:
    return None if request_id is None else request_id.hex

"""What a request may say, field by field. Unknown fields are ignored; anything else that is wrong is a `Refused`.

Bodies are read as JSON whatever content type they claim, as the services in the field do.
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
    BadRequest,
    Heartbeat,
    HistoryQuery,
    Init,
    Operation,
    Refused,
    Release,
)

_NAME_LENGTH = 256
_LARGEST = 2**63 - 1


def _storable(text: str) -> str:
    # SQL text can't hold it everywhere.
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


Name = Annotated[
    str, StringConstraints(strict=True, max_length=_NAME_LENGTH), AfterValidator(_storable)
]
Holder = Annotated[str, StringConstraints(strict=True, max_length=200), AfterValidator(_storable)]
Vid = (
    Annotated[str, StringConstraints(strict=True, max_length=1024), AfterValidator(_storable)]
    | Annotated[StrictInt, Field(ge=-_LARGEST, le=_LARGEST)]
)
Key = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=_NAME_LENGTH),
    AfterValidator(_storable),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    product: Name | None = Field(None, alias="productName")


class _Acquire(_Body):
    force: StrictBool | None = Field(None, alias="forceAcquire")
    request_id: UUID | None = Field(None, alias="requestId")
    ttl: Annotated[float, Field(strict=True, ge=1, le=3600, allow_inf_nan=False)] | None = None
    holder: Holder | None = None


class _Release(_Body):
    appid: Name | None = None
    lease_id: Name | None = Field(None, alias="leaseId")
    request_id: UUID | None = Field(None, alias="requestId")


class _Init(_Body):
    appids: dict[Key, Vid] | None = Field(None, validation_alias=AliasChoices("appids", "appIds"))
    keep_state: StrictBool | None = Field(None, alias="keepState")


class _Heartbeat(_Body):
    lease_ids: list[Name] = Field(alias="leaseIds")


def parse_acquire(body: bytes) -> Operation:
    """The operation that an acquire's body asks for."""
    asked = _read(_Acquire, body)
    return Acquire(
        _product(asked),
        bool(asked.force),
        _text_or_none(asked.request_id),
        None if asked.ttl is None else round(asked.ttl * 1000),
        asked.holder,
    )


def parse_release(body: bytes) -> Operation:
    """The operation that a release's body asks for: by AppID, or by the id of the request that may have got one."""
    asked = _read(_Release, body)
    _some_data(asked)
    request_id = _text_or_none(asked.request_id)
    if not asked.appid and request_id is None:
        raise BadRequest(Refused("missing_appid", "appid is required, or a requestId", "appid"))
    product = _product(asked)
    if asked.appid:
        return Release(product, asked.appid, asked.lease_id, request_id)
    assert request_id is not None
    return Abandon(product, request_id)


def parse_init(body: bytes) -> Operation:
    """The operation that an init's body asks for."""
    asked = _read(_Init, body)
    _some_data(asked)
    product = _product(asked)
    if not asked.appids:
        raise BadRequest(
            Refused("missing_appids", "appids is required: an object of AppID and vid", "appids")
        )
    return Init(product, asked.appids, bool(asked.keep_state))


def parse_heartbeat(body: bytes, received: int) -> Operation:
    """The operation that a heartbeat's body asks for; `received` is when it came."""
    return Heartbeat(_read(_Heartbeat, body).lease_ids, received)


class _StatusQuery(_Body):
    details: bool = True


class _HistoryQuery(_Body):
    appid: Name | None = None
    since: Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)] | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 100


def parse_status(query: bytes) -> tuple[str | None, bool]:
    """The product, or `None` for all of them, and whether each AppID is to be listed."""
    asked = _check(_StatusQuery, query)
    return asked.product or None, asked.details


def parse_history(query: bytes) -> HistoryQuery:
    """What the query of a history asks for."""
    asked = _check(_HistoryQuery, query)
    return HistoryQuery(asked.product or None, asked.appid or None, asked.since, asked.limit)


_Model = TypeVar("_Model", bound=_Body)


def _read(model: type[_Model], body: bytes) -> _Model:
    if not body.strip() or body.strip() == b"null":
        body = b"{}"
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(_explain(error)) from None


def _check(model: type[_Model], query: bytes) -> _Model:
    try:
        return model.model_validate(
            dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        )
    except ValidationError as error:
        raise BadRequest(_explain(error)) from None


def _explain(error: ValidationError) -> Refused:
    # The input stays out of it: it can be long, and it is the caller's own.
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = str(first["loc"][0]) if first["loc"] else "body"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "model_type":
        message = "a JSON object is required"
    return Refused("invalid_request", f"{field}: {message}", field)


def _product(asked: _Body) -> str:
    if asked.product is None or not asked.product.strip():
        raise BadRequest(Refused("missing_product_name", "productName is required", "productName"))
    return asked.product


def _some_data(asked: _Body) -> None:
    if not asked.model_fields_set:
        raise BadRequest(Refused("missing_data", "a JSON object with data is required", "body"))


def _text_or_none(value: UUID | None) -> str | None:
    return None if value is None else value.hex

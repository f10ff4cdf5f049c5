"""What the queries and forms of the page may hold, field by field."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ...operations import AppIdState, Refused
from ..requests import RequestRefused, storable

Act = Literal["release", "reserve", "free", "pause", "resume"]

_LARGEST = 2**63 - 1
_LARGEST_FORM = 64


def _or_none(value: object) -> object:
    return None if value == "" else value


_Name = Annotated[str, Field(max_length=256), AfterValidator(storable)]
_Number = Annotated[int | None, BeforeValidator(_or_none), Field(ge=0, le=_LARGEST)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Login(_Form):
    """The form of a login."""

    token: Annotated[str, Field(max_length=4096)] = ""


class Csrf(_Form):
    """What every form has that changes something."""

    csrf: Annotated[str, Field(max_length=128)] = ""


class Search(_Form):
    """The query of the first page."""

    q: _Name = ""


class OfProduct(_Form):
    """The query of a product's page; `done` is what was just carried out."""

    name: _Name
    q: _Name = ""
    state: Annotated[AppIdState | None, BeforeValidator(_or_none)] = None
    after: _Number = None
    done: Annotated[Act | None, BeforeValidator(_or_none)] = None


class OfHistory(_Form):
    """The query of the history."""

    product: _Name = ""
    appid: _Name = ""
    before: _Number = None


class Asked(Csrf):
    """What an operator asks for, and what it was asked in view of.

    Attributes:
        state: what the AppID was doing when it was asked.
        lease: the lease that is to be ended.
    """

    act: Act
    product: _Name
    appid: _Name = ""
    state: Annotated[AppIdState | None, BeforeValidator(_or_none)] = None
    lease: _Name = ""
    by: Annotated[str, Field(max_length=200), AfterValidator(storable)] = ""
    note: Annotated[str, Field(max_length=500), AfterValidator(storable)] = ""


FormT = TypeVar("FormT", bound=_Form)


def read_form(form: type[FormT], content: bytes) -> FormT:
    """Read a query or the body of a form.

    Raises:
        RequestRefused: it holds something else.
    """
    try:
        pairs = parse_qsl(
            content.decode("ascii"), keep_blank_values=True, max_num_fields=_LARGEST_FORM
        )
        return form.model_validate(dict(pairs))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "form"
        message = f"{field}: {first['msg']}"
    except ValueError:
        field, message = "form", "form: it is no form of this page"
    raise RequestRefused(Refused("invalid_request", message, field))

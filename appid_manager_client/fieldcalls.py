"""Calls written for the field's published client: each is refused in one line, before it is made.

That client keeps the product, has the token in second place, and names some arguments otherwise.
The line says what to write instead; `docs/migrating.md` has the table.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

ClassT = TypeVar("ClassT", bound=type)

_RENAMED = {
    "appIds": "appids",
    "forceAcquire": "force",
    "force_acquire": "force",
    "productName": "product_name",
    "token": "auth_token",
    "url": "base_url",
}
"""Arguments of the field's client, and what stands for them here."""

_EACH_CALL = "name the product in each call, as in client.acquire_appid('stt_billing')"

# How a call is written here: the positional arguments, and the place of the product among them.
_CALLS = {
    "acquire_appid": (("product_name", "max_retries", "retry_interval"), 0),
    "release_appid": (("appid", "product_name"), 1),
    "init_product": (("product_name", "appids"), 0),
}


def explains_field_calls(cls: ClassT) -> ClassT:
    """Have the constructor and the calls of a client say what to write instead."""
    constructor = vars(cls)["__init__"]

    @functools.wraps(constructor)
    def new(made: type, /, *args: Any, **named: Any) -> Any:
        line = ""
        if (
            inspect.getattr_static(made, "__init__") is constructor
        ):  # a subclass's own arguments are its own affair
            line = _line_for_constructor(args, named)
        del args, named  # a traceback that shows locals would show the token in them
        if line:
            raise TypeError(line)
        return object.__new__(made)

    setattr(cls, "__new__", new)
    for name in _CALLS:
        setattr(cls, name, _explaining(name, getattr(cls, name)))
    return cls


def _line_for_constructor(args: Sequence[object], named: Collection[str]) -> str:
    lines = []
    if len(args) > 1 and isinstance(args[1], str):
        lines.append(
            "timeout must be a number of seconds, and is the second argument of AppIdClient(): "
            "pass a token as auth_token="
        )
    if len(args) > 2 or not {"product_name", "productName"}.isdisjoint(named):
        lines.append(f"AppIdClient() takes no product_name: {_EACH_CALL}")
    renamed = [name for name in named if name in ("token", "url")]
    return "; ".join([*lines, *_renamed("AppIdClient", renamed)])


def _explaining(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, /, *args: Any, **named: Any) -> Any:
        if line := _line_for_call(name, args, named):
            raise TypeError(line)
        return method(self, *args, **named)

    return call


def _line_for_call(name: str, args: Sequence[object], named: dict[str, Any]) -> str:
    places, place = _CALLS[name]
    if name == "acquire_appid" and len(args) == len(places) + 1:
        return "acquire_appid() takes force= by keyword only, not as its fourth argument"
    lines = _renamed(name, named)
    if "productName" not in named and len(args) <= place and named.get("product_name") is None:
        lines.insert(0, f"{name}() needs product_name, as the client has none: {_EACH_CALL}")
    return "; ".join(lines)


def _renamed(name: str, named: Collection[str]) -> list[str]:
    return [f"{name}() takes {_RENAMED[old]}=, not {old}=" for old in named if old in _RENAMED]

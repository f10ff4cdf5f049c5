"""Tells whether a mock, a recorder or a tracer has taken the place of a part of `requests`.

It knows no tool by name. It asks of each function and class that a call by `requests` looks up
whether it is the one that `requests` or `urllib3` defines.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

PARTS = {
    "requests": "get post request Session",
    "requests.api": "request",
    "requests.sessions": "Session HTTPAdapter",
    "requests.sessions.Session": (
        "get post request prepare_request merge_environment_settings send get_adapter"
    ),
    "requests.adapters": "PoolManager",
    "requests.adapters.HTTPAdapter": (
        "send get_connection_with_tls_context cert_verify request_url add_headers build_response"
    ),
    "requests.adapters.PoolManager": "connection_from_host",
    "urllib3.connectionpool.HTTPConnectionPool": "ConnectionCls",
    "urllib3.connectionpool.HTTPSConnectionPool": "ConnectionCls",
}
"""What a call by `requests` looks up above the pool of `urllib3`; the way from there on is ours."""

BELOW = {"urllib3.util.connection": "create_connection", "socket": "socket getaddrinfo"}
"""What opens a connection. Another one counts for new connections; whose it is does not matter."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of `requests` as they were at one time.

    Attributes:
        unchanged: returns whether every part is still the same object. It takes less than a
            microsecond, as it is asked at every call.
        replaced: the parts that are not those of `requests` and `urllib3`, as dotted names.
    """

    unchanged: Callable[[], bool]
    replaced: frozenset[str]


def look() -> Parts:
    """Look at all the parts as they are now."""
    replaced = set()
    found: list[tuple[object, str, object]] = []
    for place, names in {**PARTS, **BELOW}.items():
        owner = _resolve(place)
        for name in names.split():
            value = getattr(owner, name, None)
            found.append((owner, name, value))
            if place in PARTS and not _is_original(value, owner, name):
                replaced.add(f"{place}.{name}")
    return Parts(_comparison(found), frozenset(replaced))


def _resolve(place: str) -> Any:
    module, _, name = place.rpartition(".")
    if name[0].islower():
        return importlib.import_module(place)
    return getattr(importlib.import_module(module), name, None)


def _is_original(value: object, owner: object, name: str) -> bool:
    """Whether `value` was defined in a module of `requests` or `urllib3`, under that name.

    What `functools.wraps` copies (the name, the module) says nothing; the globals do.
    """
    module = str(getattr(value, "__module__", None))
    home = sys.modules.get(module)
    if home is None or module.partition(".")[0] not in ("requests", "urllib3"):
        return False
    if type(value) is type:
        return value is getattr(home, value.__name__, None)
    if type(value) is not FunctionType or vars(value):
        return False
    qualified = f"{owner.__name__}.{name}" if isinstance(owner, type) else name
    return value.__globals__ is vars(home) and value.__code__.co_qualname == qualified


def _comparison(found: list[tuple[object, str, object]]) -> Callable[[], bool]:
    """A function that compares each part with what was found.

    It compares with `is`: a proxy of `wrapt` equals the function that it wraps. Compiled as one
    expression it takes half the time of a loop.
    """
    scope: dict[str, Any] = {}
    terms = []
    for number, (owner, name, value) in enumerate(found):
        scope |= {f"owner{id(owner)}": owner, f"value{number}": value}
        terms.append(f"owner{id(owner)}.{name} is value{number}")
    compare = eval(f"lambda: {' and '.join(terms)}", scope)

    def unchanged() -> bool:
        try:
            return bool(compare())
        except AttributeError:  # a part was deleted
            return False

    return unchanged

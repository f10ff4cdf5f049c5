"""Where a decorated function takes its lease, and what of it the outside sees.

The parameter is found once, when the function is decorated; signatures and annotations read later leave it out.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any, Final

DEFAULT_PARAMETER: Final = "lease"


class _Injected:
    """The type of `INJECTED`. In a body that uses it, the function was called around its decorator."""

    __module__ = "appid_manager_client"

    __slots__ = ()

    def __repr__(self) -> str:
        return "INJECTED"

    def __reduce__(self) -> str:
        return "INJECTED"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"there is no lease to take {name!r} from: @uses_appid fills this parameter, and the function was called "
            "without it; call the decorated function, or pass a lease"
        )


INJECTED: Any = _Injected()
"""The default of the parameter that `uses_appid` fills: `def bill(job, *, lease: Lease = INJECTED)`.

Its type is `Any`, so that type checkers take it for a `Lease` and don't ask callers for one.
"""


@dataclass(frozen=True, slots=True)
class Injection:
    """How one function gets its lease.

    Attributes:
        name: the keyword by which a caller may bring its own lease; `None`: there is no such thing.
        fills: whether the function wants the lease.
        index: its place among the positional parameters; larger than any call's where it can't be passed so.
        bound: whether `function` was a bound method already when it was decorated, its `self` gone from `index`.
    """

    name: str | None
    fills: bool = False
    index: int = sys.maxsize
    bound: bool = False

    def brought(self, wrapped: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the caller passes a lease of its own."""
        name = self.name
        if name is None:
            return False
        if kwargs and kwargs.get(name, INJECTED) is not INJECTED:
            return True
        if len(args) < self.index:
            return False
        binds = not self.bound and isinstance(wrapped, MethodType)
        return len(args) + binds > self.index


def find(function: Callable[..., Any], name: str | None, *, explicit: bool) -> Injection:
    """How `function` gets its lease by the parameter `name`.

    Args:
        function: what is decorated, a static or class method unpacked.
        name: the parameter; `None`: it gets none.
        explicit: the name was asked for, so that a function without it is a mistake.

    Raises:
        TypeError: it can't be filled; the message names the function and what to write instead.
    """
    if name is None:
        return Injection(None)
    bound = isinstance(function, MethodType)
    parameters = _parameters(function)
    parameter = parameters.get(name)
    if parameter is None or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if explicit and not takes_any:
            raise TypeError(
                f"{_name(function)} has no parameter {name!r} to inject the lease into: "
                f"add '*, {name}: Lease = INJECTED' to it, or pass inject=None"
            )
        return Injection(name, fills=explicit, bound=bound)
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise TypeError(
            f"the parameter {name!r} of {_name(function)} is positional-only, so no lease can be injected: "
            f"move it behind the '/', or pass inject=None"
        )
    if parameter.kind is parameter.KEYWORD_ONLY:
        return Injection(name, fills=True, bound=bound)
    index = list(parameters).index(name)
    followers = list(parameters.values())[index + 1 :]
    for follower in followers:
        positional = follower.kind in (follower.POSITIONAL_OR_KEYWORD, follower.VAR_POSITIONAL)
        if positional and follower.default is not INJECTED:
            raise TypeError(
                f"the parameter {name!r} of {_name(function)} stands before {follower.name!r}: an argument for that "
                f"one would land in it; make it keyword-only ('*, {name}: Lease = INJECTED'), or pass inject=None"
            )
    return Injection(name, fills=True, index=index, bound=bound)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(_signature(function).parameters)
    except ValueError:  # some built-in functions have none
        return {}


if sys.version_info >= (3, 14):
    import annotationlib

    # Annotations are evaluated late there, and may name what isn't defined yet when the decorator runs.
    _signature = functools.partial(
        inspect.signature, annotation_format=annotationlib.Format.FORWARDREF
    )
else:
    _signature = inspect.signature


def visible_signature(function: Any, injection: Injection) -> inspect.Signature:
    """The signature of `function` without the injected parameter.

    Raises:
        AttributeError: it has none (so that `inspect` goes on looking by itself).
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise AttributeError(str(error)) from None
    kept = [p for p in signature.parameters.values() if not hides(p, injection)]
    return signature.replace(parameters=kept)


def hides(parameter: inspect.Parameter, injection: Injection) -> bool:
    """Whether `parameter` is the one that is injected."""
    return (
        injection.fills
        and parameter.name == injection.name
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    )


def _name(function: object) -> str:
    return f"{getattr(function, '__qualname__', None) or repr(function)}()"

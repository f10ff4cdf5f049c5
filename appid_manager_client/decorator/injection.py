"""The parameter that gets the lease of a decorated function, and the signature that others see.

The parameter is looked up once, when the function is decorated. Later the signature leaves it out.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from ..lease.held import Lease

DEFAULT_PARAMETER: Final = "lease"


class _Injected:
    """The type of `INJECTED`. A body gets it only if the call went around the decorator."""

    __module__ = "appid_manager_client"

    __slots__ = ()

    def __repr__(self) -> str:
        return "INJECTED"

    def __reduce__(self) -> str:
        return "INJECTED"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"there is no lease to take {name!r} from: @uses_appid fills this parameter, and the "
            "function was called without it; call the decorated function, or pass a lease"
        )


INJECTED: Lease = cast("Lease", _Injected())
"""The default of the parameter that `uses_appid` fills: `def bill(*, lease: Lease = INJECTED)`.

For type checkers it is a `Lease`, so that they don't ask callers for one.
"""


@dataclass(frozen=True, slots=True)
class Injection:
    """How one function gets its lease.

    Attributes:
        keyword: the keyword with which a caller may pass its own lease; `None`: there is none.
        parameter: the parameter that gets the lease; `None`: the function doesn't take it.
        index: the place of `parameter` among the positional parameters; larger than any call has
            if the lease can't be passed by position.
        bound: whether the function was a bound method when it was decorated; then `index` doesn't
            count its `self`.
    """

    keyword: str | None
    parameter: str | None = None
    index: int = sys.maxsize
    bound: bool = False

    def is_passed(self, wrapped: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Return whether the caller passes a lease of its own."""
        keyword = self.keyword
        if keyword is None:
            return False
        if kwargs and kwargs.get(keyword, INJECTED) is not INJECTED:
            return True
        if len(args) < self.index:
            return False
        binds = not self.bound and isinstance(wrapped, MethodType)
        return len(args) + binds > self.index


def check_parameter(name: object) -> None:
    """Check the name of the parameter that is to get the lease.

    Raises:
        TypeError: it is neither text nor `None`.
        ValueError: no parameter can have this name.
    """
    if name is None or isinstance(name, str) and name.isidentifier():
        return
    kind = ValueError if isinstance(name, str) else TypeError
    raise kind(f"inject must be the name of a parameter, or None to inject nothing, not {name!r}")


def find(function: Callable[..., Any], name: str | None, *, explicit: bool) -> Injection:
    """Return how `function` gets its lease through the parameter `name`.

    Args:
        function: what is decorated; of a static or class method its function.
        name: the parameter; `None`: the function gets no lease.
        explicit: whether the user named the parameter; then a function without it is a mistake.

    Raises:
        TypeError: the parameter can't be filled; the message names the function, and says what to
            write instead.
    """
    if name is None:
        return Injection(None)
    bound = isinstance(function, MethodType)
    # Its own parameters, first: the function inside another decorator says that it takes those of
    # the function which it wraps, and may want the lease for itself.
    parameters = _parameters(function, follow_wrapped=False)
    if not _is_named(parameters.get(name)):
        parameters = _parameters(function)
    parameter = parameters.get(name)
    if parameter is None or not _is_named(parameter):
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if explicit and not takes_any:
            raise TypeError(
                f"{_name(function)} has no parameter {name!r} to inject the lease into: "
                f"add '*, {name}: Lease = INJECTED' to it, or pass inject=None"
            )
        return Injection(name, name if explicit else None, bound=bound)
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise TypeError(
            f"the parameter {name!r} of {_name(function)} is positional-only, so no lease can be "
            f"injected: move it behind the '/', or pass inject=None"
        )
    if parameter.kind is parameter.KEYWORD_ONLY:
        return Injection(name, name, bound=bound)
    index = list(parameters).index(name)
    followers = list(parameters.values())[index + 1 :]
    for follower in followers:
        positional = follower.kind in (follower.POSITIONAL_OR_KEYWORD, follower.VAR_POSITIONAL)
        if positional and follower.default is not INJECTED:
            raise TypeError(
                f"the parameter {name!r} of {_name(function)} stands before {follower.name!r}: "
                f"positional arguments would go to the wrong one; make it keyword-only "
                f"('*, {name}: Lease = INJECTED'), or pass inject=None"
            )
    return Injection(name, name, index, bound)


def _is_named(parameter: inspect.Parameter | None) -> bool:
    return parameter is not None and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _parameters(
    function: Callable[..., Any], *, follow_wrapped: bool = True
) -> dict[str, inspect.Parameter]:
    try:
        return dict(_signature(function, follow_wrapped=follow_wrapped).parameters)
    except ValueError:  # some built-in functions have none
        return {}


if sys.version_info >= (3, 14):
    import annotationlib

    # Annotations are evaluated late there, and may name what isn't defined when the decorator runs.
    _signature = functools.partial(
        inspect.signature, annotation_format=annotationlib.Format.FORWARDREF
    )
else:
    _signature = inspect.signature


def visible_signature(function: Any, injection: Injection) -> inspect.Signature:
    """Return the signature of `function` without the injected parameter.

    Raises:
        AttributeError: it has no signature; `inspect` then goes on looking by itself.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise AttributeError(str(error)) from None
    kept = [p for p in signature.parameters.values() if not _is_injected(p, injection)]
    return signature.replace(parameters=kept)


class _Annotations(dict[str, Any]):
    """The annotations of a function without that of its lease; changes go to the function."""

    def __init__(self, annotations: dict[str, Any], parameter: str) -> None:
        super().__init__((k, v) for k, v in annotations.items() if k != parameter)
        self._annotations = annotations

    def __setitem__(self, name: str, annotation: Any) -> None:
        super().__setitem__(name, annotation)
        self._annotations[name] = annotation

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        del self._annotations[name]

    def update(self, *others: Any, **named: Any) -> None:
        super().update(*others, **named)
        self._annotations.update(*others, **named)

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


def visible_annotations(function: Any, injection: Injection) -> dict[str, Any]:
    """Return the annotations of `function` without that of the injected parameter."""
    annotations: dict[str, Any] = function.__annotations__
    parameter = injection.parameter
    if parameter is None or parameter not in annotations:
        return annotations
    return _Annotations(annotations, parameter)


def _is_injected(parameter: inspect.Parameter, injection: Injection) -> bool:
    named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    return named and parameter.name == injection.parameter


def _name(function: object) -> str:
    return f"{getattr(function, '__qualname__', None) or repr(function)}()"

"""What a decorated call returned: is there work left that would run without the AppID?

Owns the check that follows every call, the error for a generator and its like, and the warning for
other results that work later: iterators, streaming responses, tasks and futures.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import warnings
from collections.abc import AsyncIterator, Iterable, Iterator
from types import AsyncGeneratorType, CoroutineType, GeneratorType, NoneType
from typing import Any


@contextlib.contextmanager
def _block() -> Iterator[None]:
    yield


@contextlib.asynccontextmanager
async def _async_block() -> AsyncIterator[None]:
    yield


# The types of context managers that are made of generators have no public names.
_LAZY = frozenset(
    {CoroutineType, GeneratorType, AsyncGeneratorType, type(_block()), type(_async_block())}
)
"""Results whose body has not run yet: coroutines, generators, context managers."""

FINISHED = frozenset({NoneType, bool, int, float, str, bytes, dict, list, set, frozenset})
"""The types of most results. They need no look: nothing of them runs later."""

_DATA: tuple[Iterable[Any], ...] = (
    *([], (), {}, {}.values(), {}.items(), set()),
    *("", "\N{SNOWMAN}", b"", bytearray(), range(0), range(2**70)),
)
_OVER_DATA = frozenset(type(iter(data)) for data in _DATA) | {type(reversed([])), itertools.count}
"""Iterators over what is there already."""

_WORKS_LATER = ("__next__", "__anext__", "__await__", "add_done_callback", "is_streamed")
"""What a type has whose instances may have work left; `is_streamed` is werkzeug's (Flask)."""


def check(wrapped: Any, result: Any) -> None:
    """Look at the result of a plain function, whose lease was given back just now.

    Raises:
        TypeError: it is a coroutine, a generator or the like, and its body has not run at all.
    """
    if type(result) not in _LAZY:
        warn_of_work_left(wrapped, result)
        return
    if isinstance(result, (CoroutineType, GeneratorType)):
        result.close()
    raise TypeError(
        f"{_name(wrapped)} returned a {_kind(result)}, whose body would run after the AppID was "
        "given back: put @uses_appid directly above the 'async def' or the generator, below the "
        "other decorators"
    )


def warn_of_work_left(wrapped: Any, result: Any) -> None:
    """Warn, once for each decorated function, if `result` goes on working after the call."""
    if type(result) is tuple and result:  # a body with its status and headers
        result = result[0]
    if not _has_work_left(result):
        return
    function = wrapped
    while hasattr(function, "__func__"):
        function = function.__func__
    code = getattr(function, "__code__", None)
    names: dict[str, Any] = getattr(function, "__globals__", {})
    # Named by the place of the function: the call comes from a framework.
    warnings.warn_explicit(
        f"{_name(wrapped)} returned a {_kind(result)}, which goes on working after the AppID was "
        "given back: hold the lease where that work is done, with @uses_appid above the generator "
        "or 'with client.lease(...)' inside it",
        RuntimeWarning,
        getattr(code, "co_filename", __file__),
        getattr(code, "co_firstlineno", 1),
        module=names.get("__name__"),
        registry=names.setdefault("__warningregistry__", {}),
    )


def _has_work_left(result: Any) -> bool:
    kind: Any = type(result)
    if not _may_work_later(kind):
        return False
    done = getattr(result, "done", None)  # of a future
    if callable(done) and hasattr(kind, "add_done_callback"):
        return not done()
    if getattr(result, "closed", False) is True:
        return False
    if hasattr(kind, "__next__") or hasattr(kind, "__anext__") or hasattr(kind, "__await__"):
        return True
    # The streaming responses of Starlette (FastAPI), Django and werkzeug (Flask).
    return (
        "body_iterator" in getattr(result, "__dict__", ())
        or hasattr(kind, "body_iterator")
        or getattr(result, "streaming", False) is True
        or getattr(result, "is_streamed", False) is True
    )


@functools.lru_cache(maxsize=256)
def _may_work_later(kind: type) -> bool:
    """Return whether instances of a type can have work left; a framework's response may."""
    if kind in FINISHED or kind in _OVER_DATA or kind.__module__ in ("_io", "unittest.mock"):
        return False  # a file needs no AppID to be read, and a mock has every attribute
    # Responses of Starlette can be called, and those of Django say whether they stream.
    return any(hasattr(kind, name) for name in (*_WORKS_LATER, "__call__", "streaming"))


def _name(wrapped: Any) -> str:
    return f"{getattr(wrapped, '__qualname__', wrapped)}()"


def _kind(result: Any) -> str:
    return type(result).__name__.strip("_")

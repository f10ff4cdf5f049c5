"""How a decorated function gets into another process: by its name, or as a copy by value.

By name is how Python pickles functions. cloudpickle (joblib, dask, Ray, Spark) copies a function
of `__main__`, of a notebook or inside another function part by part instead: its code, its
closure. Owns the parts that a decorated function shows, of which a copy comes out decorated.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import AsyncGenerator, Callable, Generator
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, Protocol

_WHAT_TO_DO = "define it in a module that the other process can import"


class Spec(Protocol):
    """The part of a `LeaseSpec` that is looked at here."""

    @property
    def bound_to(self) -> str: ...


class Decorated:
    """Stands in the closure of a copy for the decorated function; pickles by value.

    Its content is what the function was made of, so that it can be made again elsewhere.
    """

    __slots__ = ("_function", "_parts")

    def __init__(self, wrap: Callable[[Any, Any], Any], wrapped: Any, spec: Spec) -> None:
        self._parts = wrap, wrapped, spec
        self._function = wrap(wrapped, spec)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __reduce__(self) -> Any:
        _, wrapped, spec = self._parts
        check_movable(wrapped, spec)
        return Decorated, self._parts


def check_movable(wrapped: Any, spec: Spec) -> None:
    """Check that a decorated function can be made again in another process.

    Raises:
        PicklingError: it leases from a client or a pool of this process.
    """
    if spec.bound_to:
        raise pickle.PicklingError(
            f"can't pickle {getattr(wrapped, '__qualname__', wrapped)} by value: it is decorated "
            f"with {spec.bound_to}=, which belongs to this process; {_WHAT_TO_DO}, or leave "
            f"{spec.bound_to}= out (then APPID_MANAGER_URL names the service there)"
        )


# --- the code of copies: one for each kind of body, as `inspect` reads the kind from the code


def _plain(decorated: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        return decorated(*args, **kwargs)

    return call


def _coroutine(decorated: Any) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        return await decorated(*args, **kwargs)

    return call


def _generator(decorated: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return (yield from decorated(*args, **kwargs))

    return call


def _async_generator(decorated: Any) -> Any:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        # A copy has no globals of this module, and async generators have no 'yield from'.
        inner = decorated(*args, **kwargs)
        try:
            value = await inner.__anext__()
            while True:
                try:
                    sent = yield value
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:
                    value = await inner.athrow(error)
                else:
                    value = await inner.asend(sent)
        except StopAsyncIteration:
            return

    return call


PLAIN, COROUTINE, GENERATOR, ASYNC_GENERATOR = (
    factory(None).__code__ for factory in (_plain, _coroutine, _generator, _async_generator)
)


def shown_code(code: CodeType, call: CodeType) -> CodeType:
    """Return the code of a call by value, which says of itself that it stands where `code` does."""
    return call.replace(
        co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
    )


def shown_closure(decorated: Decorated) -> tuple[CellType, ...]:
    """Return the closure that belongs to `shown_code`."""
    return (CellType(decorated),)


# --- by name


def by_name(function: Any) -> Any:
    """Pickle a decorated function as Python pickles functions: by its module and its name.

    Raises:
        PicklingError: something else has that name there, such as the undecorated function.
    """
    module, name = function.__module__, function.__qualname__
    try:
        found = _at(module, name)
    except (ImportError, AttributeError):
        found = None
    if found is not function:
        raise pickle.PicklingError(
            f"can't pickle {name}: {module}.{name} isn't the decorated function; {_WHAT_TO_DO}, "
            "and decorate it where it is defined"
        )
    return find, (module, name)


def find(module: str, name: str) -> Any:
    """Return the decorated function that another process pickled by name.

    Raises:
        UnpicklingError: this process doesn't have it, or has it undecorated.
    """
    try:
        found = _at(module, name)
    except (ImportError, AttributeError) as error:
        raise pickle.UnpicklingError(
            f"can't find the decorated function {module}.{name} in this process ({error}); "
            f"{_WHAT_TO_DO}"
        ) from None
    function = found.__func__ if isinstance(found, MethodType) else found
    if type(function) is FunctionType:
        raise pickle.UnpicklingError(
            f"{module}.{name} isn't decorated with @uses_appid in this process, as it was where "
            "it comes from"
        )
    return found


def _at(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found

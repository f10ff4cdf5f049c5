"""The callables that `uses_appid` makes: each call of one holds a lease for as long as its body runs.

One class for each kind of body, so that whoever asks what a decorated function is (a coroutine function, a generator)
hears the truth. wrapt makes them bind as functions, methods, class and static methods do; what to lease, and where the
lease goes, is in the plan that their calls share.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import inspect
import pickle
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType, MethodType
from typing import TYPE_CHECKING, Any

import wrapt

from .injection import Injection, visible_signature

if TYPE_CHECKING:
    FunctionWrapper = wrapt.FunctionWrapper[..., Any]
    BoundFunctionWrapper = wrapt.BoundFunctionWrapper[..., Any]
else:
    FunctionWrapper = wrapt.FunctionWrapper
    BoundFunctionWrapper = wrapt.BoundFunctionWrapper

_LATE = frozenset(
    {
        CoroutineType,
        GeneratorType,
        AsyncGeneratorType,
        contextlib._GeneratorContextManager,
        contextlib._AsyncGeneratorContextManager,
    }
)
"""What a call gives whose body has not run yet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the calls of one decorated function share.

    Attributes:
        source: gives the context manager that yields a lease; called with the product's name if `product` is set.
        product: gives the product's name from the call's arguments; `None`: `source` knows it.
        injection: where the lease goes.
    """

    source: Callable[..., Any]
    product: Callable[..., str] | None
    injection: Injection

    def lease(self, wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What to enter around this call; `None` if the caller brings its own lease."""
        injection = self.injection
        # The common call has neither, and this is the way of every call.
        if (kwargs or len(args) >= injection.index) and injection.brought(wrapped, args, kwargs):
            return None
        if self.product is None:
            return self.source()
        if isinstance(wrapped, MethodType) and not injection.bound:
            args = (wrapped.__self__, *args)
        return self.source(self.product(*args, **kwargs))


class _Leasing:
    """What all that is decorated has in common, bound or not."""

    __slots__ = ()

    # Not annotated at run time: a class's own __annotations__ would hide the property below.
    if TYPE_CHECKING:
        __wrapped__: Any
        __module__: str
        __qualname__: str

        _self_wrapper: Any  # the Plan

    @property
    def __signature__(self) -> inspect.Signature:
        function = self.__wrapped__
        if isinstance(function, (classmethod, staticmethod)):
            function = function.__func__
        return visible_signature(function, self._self_wrapper.injection)

    @property
    def __annotations__(self) -> dict[str, Any]:  # type: ignore[override]
        injection: Injection = self._self_wrapper.injection
        annotations = dict(self.__wrapped__.__annotations__)
        if injection.fills and injection.name is not None:
            annotations.pop(injection.name, None)
        return annotations

    def __repr__(self) -> str:
        return f"<uses_appid {self.__wrapped__!r}>"

    def __copy__(self) -> Any:
        return self

    def __reduce_ex__(self, protocol: object) -> Any:
        return self.__reduce__()


class _Function(_Leasing, FunctionWrapper):
    """A decorated function, before it is bound to an instance or a class."""

    def __init__(self, wrapped: Callable[..., Any], plan: Plan) -> None:
        # In the place of wrapt's wrapper, which it hands on to the bound ones: the classes below call the function
        # themselves, with less in between.
        super(_Leasing, self).__init__(wrapped, plan)  # type: ignore[arg-type]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __reduce__(self) -> Any:
        return _by_name(self, self)


class _Bound(_Leasing, BoundFunctionWrapper):
    """A decorated method, as found on an instance or a class."""

    @property
    def __func__(self) -> Any:
        """As of any method: what gives the same result when it is called with `__self__` in front."""
        function = self.__wrapped__.__func__
        parent = self._self_parent
        if isinstance(parent.__wrapped__, classmethod):
            return type(parent)(function, parent._self_wrapper)
        return parent

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        wrapped = self.__wrapped__
        if not isinstance(wrapped, MethodType):
            return self
        return getattr(copy.deepcopy(wrapped.__self__, memo), wrapped.__name__)

    def __reduce__(self) -> Any:
        wrapped = self.__wrapped__
        if isinstance(wrapped, MethodType):
            return getattr, (wrapped.__self__, wrapped.__name__)
        return _by_name(self, self._self_parent)


def _by_name(subject: _Leasing, function: _Function) -> Any:
    """Pickle a decorated function as any function is: by where it is found. It must be found there, decorated."""
    module, name = subject.__module__, subject.__qualname__
    try:
        found = _find(module, name)
    except (ImportError, AttributeError):
        found = None
    # Not 'is': of a method, each look-up makes a new bound one. A proxy's own type is only seen by type().
    if found is not function and getattr(found, "_self_parent", None) is not function:
        raise pickle.PicklingError(
            f"can't pickle {name}: {module}.{name} isn't the decorated function; decorate it where it is defined"
        )
    return _find, (module, name)


def _find(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _refuse_late(wrapped: Any, result: Any) -> None:
    """A body that has not run yet would run without the AppID, which was just given back."""
    if isinstance(result, (CoroutineType, GeneratorType)):
        result.close()
    raise TypeError(
        f"{getattr(wrapped, '__qualname__', wrapped)}() returned a {type(result).__name__.strip('_')}, whose body "
        "would run after the AppID was given back: put @uses_appid directly above the 'async def' or the generator, "
        "below the other decorators"
    )


# --- one for each kind of body


class _PlainCall(_Leasing):
    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        wrapped = self.__wrapped__
        plan: Plan = self._self_wrapper
        lease = plan.lease(wrapped, args, kwargs)
        if lease is None:
            return wrapped(*args, **kwargs)
        with lease as held:
            if plan.injection.fills:
                kwargs[plan.injection.name] = held  # type: ignore[index]
            result = wrapped(*args, **kwargs)
        if type(result) in _LATE:
            _refuse_late(wrapped, result)
        return result


class _CoroutineCall(_Leasing):
    __slots__ = ()

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        wrapped = self.__wrapped__
        plan: Plan = self._self_wrapper
        lease = plan.lease(wrapped, args, kwargs)
        if lease is None:
            return await wrapped(*args, **kwargs)
        async with lease as held:
            if plan.injection.fills:
                kwargs[plan.injection.name] = held  # type: ignore[index]
            return await wrapped(*args, **kwargs)


class _GeneratorCall(_Leasing):
    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        wrapped = self.__wrapped__
        plan: Plan = self._self_wrapper
        lease = plan.lease(wrapped, args, kwargs)
        if lease is None:
            return (yield from wrapped(*args, **kwargs))
        with lease as held:
            if plan.injection.fills:
                kwargs[plan.injection.name] = held  # type: ignore[index]
            return (yield from wrapped(*args, **kwargs))


class _AsyncGeneratorCall(_Leasing):
    __slots__ = ()

    async def __call__(self, /, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        wrapped = self.__wrapped__
        plan: Plan = self._self_wrapper
        lease = plan.lease(wrapped, args, kwargs)
        brought = lease is None
        async with contextlib.nullcontext() if brought else lease as held:
            if plan.injection.fills and not brought:
                kwargs[plan.injection.name] = held  # type: ignore[index]
            inner = wrapped(*args, **kwargs)
            # What 'yield from' does for other generators, but there is none for these.
            try:
                value = await anext(inner)
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


class _PlainBound(_PlainCall, _Bound):
    pass


class _PlainFunction(_PlainCall, _Function):
    __bound_function_wrapper__ = _PlainBound


class _CoroutineBound(_CoroutineCall, _Bound):
    pass


class _CoroutineFunction(_CoroutineCall, _Function):
    __bound_function_wrapper__ = _CoroutineBound


class _GeneratorBound(_GeneratorCall, _Bound):
    pass


class _GeneratorFunction(_GeneratorCall, _Function):
    __bound_function_wrapper__ = _GeneratorBound


class _AsyncGeneratorBound(_AsyncGeneratorCall, _Bound):
    pass


class _AsyncGeneratorFunction(_AsyncGeneratorCall, _Function):
    __bound_function_wrapper__ = _AsyncGeneratorBound


def wrap(function: Any, plan: Plan) -> Any:
    """`function`, a callable or a static or class method, decorated so that its calls follow `plan`."""
    body = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    while isinstance(body, functools.partial):
        body = body.func
    if not inspect.isroutine(body):
        body = type(body).__call__
    if inspect.iscoroutinefunction(body):
        return _CoroutineFunction(function, plan)
    if inspect.isasyncgenfunction(body):
        return _AsyncGeneratorFunction(function, plan)
    if inspect.isgeneratorfunction(body):
        return _GeneratorFunction(function, plan)
    return _PlainFunction(function, plan)

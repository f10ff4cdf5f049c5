"""The callables that `uses_appid` makes: each call of one holds a lease while its body runs.

There is one class for each kind of body, so that `inspect` sees what a decorated function is: a
coroutine function, a generator. wrapt makes them bind as functions, methods, class and static
methods do. What to lease, and which parameter gets the lease, is in the `LeaseSpec` of the calls.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import inspect
import pickle
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType, MethodType
from typing import TYPE_CHECKING, Any

import wrapt

from .injection import Injection, visible_signature

if TYPE_CHECKING:
    from ..lease.held import Lease

    FunctionWrapper = wrapt.FunctionWrapper[..., Any]
    BoundFunctionWrapper = wrapt.BoundFunctionWrapper[..., Any]
else:
    FunctionWrapper = wrapt.FunctionWrapper
    BoundFunctionWrapper = wrapt.BoundFunctionWrapper


@contextlib.contextmanager
def _block() -> Iterator[None]:
    yield


@contextlib.asynccontextmanager
async def _async_block() -> AsyncIterator[None]:
    yield


# The types of context managers that are made of generators have no public names.
_LAZY_RESULTS = frozenset(
    {CoroutineType, GeneratorType, AsyncGeneratorType, type(_block()), type(_async_block())}
)
"""Results whose body has not run yet: coroutines, generators, context managers."""


@dataclass(frozen=True, slots=True)
class LeaseSpec:
    """How the calls of one decorated function get their lease.

    Attributes:
        source: returns the lease; called with the name of the product if `product` is set.
        product: returns the name of the product for the arguments of a call; `None`: `source`
            knows it.
        injection: the parameter that gets the lease.
    """

    source: Callable[..., Lease]
    product: Callable[..., str] | None
    injection: Injection

    def lease(self, wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Lease | None:
        """Return the lease of one call, not acquired yet; `None` if the caller passes its own."""
        injection = self.injection
        # Every call comes here, and most have no arguments that could be a lease: they are fast.
        if (kwargs or len(args) >= injection.index) and injection.is_passed(wrapped, args, kwargs):
            return None
        if self.product is None:
            return self.source()
        if isinstance(wrapped, MethodType) and not injection.bound:
            args = (wrapped.__self__, *args)
        return self.source(self.product(*args, **kwargs))


class _Decorated:
    """What all decorated functions have in common, bound or not."""

    __slots__ = ()

    # Not annotated at run time: a class's own __annotations__ would hide the property below.
    if TYPE_CHECKING:
        __wrapped__: Any
        __module__: str
        __qualname__: str

        _self_wrapper: Any  # the LeaseSpec

    @property
    def __signature__(self) -> inspect.Signature:
        function = self.__wrapped__
        if isinstance(function, (classmethod, staticmethod)):
            function = function.__func__
        return visible_signature(function, self._self_wrapper.injection)

    @property
    def __annotations__(self) -> dict[str, Any]:  # type: ignore[override]
        annotations = dict(self.__wrapped__.__annotations__)
        parameter: str | None = self._self_wrapper.injection.parameter
        if parameter is not None:
            annotations.pop(parameter, None)
        return annotations

    def __repr__(self) -> str:
        return f"<uses_appid {self.__wrapped__!r}>"

    def __copy__(self) -> Any:
        return self

    def __reduce_ex__(self, protocol: object) -> Any:
        return self.__reduce__()


class _Function(_Decorated, FunctionWrapper):
    """A decorated function, before it is bound to an instance or a class."""

    def __init__(self, wrapped: Callable[..., Any], spec: LeaseSpec) -> None:
        # The spec takes the place of the wrapper that wrapt would call: wrapt hands it on to the
        # bound functions, and the classes below call the function themselves, which is faster.
        wrapper: Any = spec
        super().__init__(wrapped, wrapper)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __reduce__(self) -> Any:
        return _by_name(self, self)


class _Bound(_Decorated, BoundFunctionWrapper):
    """A decorated method, as found on an instance or a class."""

    @property
    def __func__(self) -> Any:
        """The function of the method, decorated: it takes `__self__` as its first argument."""
        function = self.__wrapped__.__func__
        parent = self._self_parent
        if isinstance(parent.__wrapped__, classmethod):
            return type(parent)(function, self._self_wrapper)
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


def _by_name(subject: _Decorated, function: _Function) -> Any:
    """Pickle a decorated function as Python pickles functions: by its module and its name.

    Raises:
        PicklingError: something else has that name there, such as the undecorated function.
    """
    module, name = subject.__module__, subject.__qualname__
    try:
        found = _find(module, name)
    except (ImportError, AttributeError):
        found = None
    # 'is' alone can't tell: each look-up of a method makes a new bound one.
    if found is not function and getattr(found, "_self_parent", None) is not function:
        raise pickle.PicklingError(
            f"can't pickle {name}: {module}.{name} isn't the decorated function; "
            "decorate it where it is defined"
        )
    return _find, (module, name)


def _find(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _refuse_lazy(wrapped: Any, result: Any) -> None:
    """Raise: the body of `result` would run without the AppID, which was released just now."""
    if isinstance(result, (CoroutineType, GeneratorType)):
        result.close()
    raise TypeError(
        f"{getattr(wrapped, '__qualname__', wrapped)}() returned a "
        f"{type(result).__name__.strip('_')}, whose body would run after the AppID was given back: "
        "put @uses_appid directly above the 'async def' or the generator, "
        "below the other decorators"
    )


# --- one class for each kind of body


class _PlainCall(_Decorated):
    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        wrapped = self.__wrapped__
        spec: LeaseSpec = self._self_wrapper
        lease = spec.lease(wrapped, args, kwargs)
        if lease is None:
            return wrapped(*args, **kwargs)
        with lease as held:
            if (parameter := spec.injection.parameter) is not None:
                kwargs[parameter] = held
            result = wrapped(*args, **kwargs)
        if type(result) in _LAZY_RESULTS:
            _refuse_lazy(wrapped, result)
        return result


class _CoroutineCall(_Decorated):
    __slots__ = ()

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        wrapped = self.__wrapped__
        spec: LeaseSpec = self._self_wrapper
        lease = spec.lease(wrapped, args, kwargs)
        if lease is None:
            return await wrapped(*args, **kwargs)
        async with lease as held:
            if (parameter := spec.injection.parameter) is not None:
                kwargs[parameter] = held
            return await wrapped(*args, **kwargs)


class _GeneratorCall(_Decorated):
    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        wrapped = self.__wrapped__
        spec: LeaseSpec = self._self_wrapper
        lease = spec.lease(wrapped, args, kwargs)
        if lease is None:
            return (yield from wrapped(*args, **kwargs))
        with lease as held:
            if (parameter := spec.injection.parameter) is not None:
                kwargs[parameter] = held
            return (yield from wrapped(*args, **kwargs))


class _AsyncGeneratorCall(_Decorated):
    __slots__ = ()

    async def __call__(self, /, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        wrapped = self.__wrapped__
        spec: LeaseSpec = self._self_wrapper
        lease = spec.lease(wrapped, args, kwargs)
        parameter = None if lease is None else spec.injection.parameter
        async with contextlib.nullcontext() if lease is None else lease as held:
            if parameter is not None:
                kwargs[parameter] = held
            inner = wrapped(*args, **kwargs)
            # Async generators have no 'yield from': this does the same.
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


def wrap(function: Any, spec: LeaseSpec) -> Any:
    """Return `function` decorated: each of its calls holds a lease, as `spec` says.

    It may be any callable, or a static or class method.
    """
    body = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    while isinstance(body, functools.partial):
        body = body.func
    if not inspect.isroutine(body):
        body = type(body).__call__
    if inspect.iscoroutinefunction(body):
        return _CoroutineFunction(function, spec)
    if inspect.isasyncgenfunction(body):
        return _AsyncGeneratorFunction(function, spec)
    if inspect.isgeneratorfunction(body):
        return _GeneratorFunction(function, spec)
    return _PlainFunction(function, spec)

"""The callables that `uses_appid` makes: each call of one holds a lease while its body runs.

There is one class for each kind of body, so that `inspect` sees what a decorated function is: a
coroutine function, a generator. They bind as functions do. What to lease, and which parameter gets
the lease, is in the `LeaseSpec` of the calls.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar

import wrapt

from . import copies
from .injection import Injection, visible_annotations, visible_signature
from .results import FINISHED, check, warn_of_work_left

if TYPE_CHECKING:
    from ..lease.held import Lease

    FunctionWrapper = wrapt.FunctionWrapper[..., Any]
else:
    FunctionWrapper = wrapt.FunctionWrapper


@dataclass(frozen=True, slots=True)
class LeaseSpec:
    """How the calls of one decorated function get their lease.

    Attributes:
        source: returns the lease; called with the name of the product if `product` is set.
        product: returns the name of the product for the arguments of a call; `None`: `source`
            knows it.
        injection: the parameter that gets the lease.
        bound_to: `"client"` or `"pool"` if the leases come from one that the user named: it can't
            leave this process.
    """

    source: Callable[..., Lease]
    product: Callable[..., str] | None
    injection: Injection
    bound_to: str = ""

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


_SET_ON_THE_FUNCTION = frozenset({"__doc__", "__module__", "__wrapped__"})
"""What wrapt doesn't hand on to the function, or not in all its versions."""


class _Function(FunctionWrapper):
    """A decorated function.

    It shows the attributes of the function, and sets them there. What it shows of its code makes a
    decorated copy: see `copies.py`.
    """

    # Not annotated at run time: a class's own __annotations__ would hide the property below.
    if TYPE_CHECKING:
        __wrapped__: Any

        _self_call: ClassVar[CodeType]
        _self_spec: LeaseSpec

    def __init__(self, wrapped: Callable[..., Any], spec: LeaseSpec) -> None:
        # wrapt never calls its wrapper here: the classes below call the function themselves, which
        # is faster.
        super().__init__(wrapped, spec.source)
        self._self_spec = spec

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        wrapped = function = self.__wrapped__
        while isinstance(function, _Function):
            function = function.__wrapped__
        kind = type(function)
        if kind is FunctionType:
            return self if instance is None else MethodType(self, instance)
        if kind is MethodType or not hasattr(kind, "__get__"):
            return self
        # Another kind of function, such as that of somebody else's decorator: it binds by itself.
        return type(self)(wrapped.__get__(instance, owner), self._self_spec)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # A class without it gets annotations of its own when they are asked for (wrapt does so),
        # and they would hide the property.
        setattr(cls, "__annotations__", vars(_Function)["__annotations__"])

    def __setattr__(self, name: str, value: Any) -> None:
        # By __wrapped__, functools.wraps says what the function stands for; it is called as before.
        if name in _SET_ON_THE_FUNCTION:
            setattr(self.__wrapped__, name, value)
        if name != "__wrapped__":
            super().__setattr__(name, value)

    @property
    def __signature__(self) -> inspect.Signature:
        return visible_signature(self.__wrapped__, self._self_spec.injection)

    @__signature__.setter
    def __signature__(self, signature: inspect.Signature | None) -> None:
        self.__wrapped__.__signature__ = signature

    @__signature__.deleter
    def __signature__(self) -> None:
        del self.__wrapped__.__signature__

    @property
    def __annotations__(self) -> dict[str, Any]:
        return visible_annotations(self.__wrapped__, self._self_spec.injection)

    @__annotations__.setter
    def __annotations__(self, annotations: dict[str, Any]) -> None:
        self.__wrapped__.__annotations__ = annotations

    @__annotations__.deleter
    def __annotations__(self) -> None:
        del self.__wrapped__.__annotations__

    @property
    def __code__(self) -> CodeType:
        return copies.shown_code(self.__wrapped__.__code__, self._self_call)

    @__code__.setter
    def __code__(self, code: CodeType) -> None:
        if code.co_code == self._self_call.co_code:
            raise TypeError("the code that a decorated function shows is not the function's own")
        self.__wrapped__.__code__ = code

    @property
    def __closure__(self) -> tuple[CellType, ...]:
        return copies.shown_closure(copies.Decorated(wrap, self.__wrapped__, self._self_spec))

    def __repr__(self) -> str:
        return f"<uses_appid {self.__wrapped__!r}>"

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __reduce_ex__(self, protocol: object) -> Any:
        return self.__reduce__()

    def __reduce__(self) -> Any:
        wrapped = self.__wrapped__
        if isinstance(wrapped, MethodType) and not self._self_spec.injection.bound:
            return getattr, (wrapped.__self__, wrapped.__name__)
        if isinstance(wrapped, FunctionType):
            return copies.by_name(self)
        # A partial, or an instance that can be called: it has no name of its own.
        copies.check_movable(wrapped, self._self_spec)
        return wrap, (wrapped, self._self_spec)


# --- one class for each kind of body


class _PlainFunction(_Function):
    _self_call = copies.PLAIN

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        wrapped = self.__wrapped__
        spec: LeaseSpec = self._self_spec
        lease = spec.lease(wrapped, args, kwargs)
        if lease is None:
            return wrapped(*args, **kwargs)
        with lease as held:
            if (parameter := spec.injection.parameter) is not None:
                kwargs[parameter] = held
            result = wrapped(*args, **kwargs)
        if type(result) not in FINISHED:
            check(wrapped, result)
        return result


class _CoroutineFunction(_Function):
    _self_call = copies.COROUTINE

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        wrapped = self.__wrapped__
        spec: LeaseSpec = self._self_spec
        lease = spec.lease(wrapped, args, kwargs)
        if lease is None:
            return await wrapped(*args, **kwargs)
        async with lease as held:
            if (parameter := spec.injection.parameter) is not None:
                kwargs[parameter] = held
            result = await wrapped(*args, **kwargs)
        if type(result) not in FINISHED:
            warn_of_work_left(wrapped, result)
        return result


class _GeneratorFunction(_Function):
    _self_call = copies.GENERATOR

    def __call__(self, /, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        wrapped = self.__wrapped__
        spec: LeaseSpec = self._self_spec
        lease = spec.lease(wrapped, args, kwargs)
        if lease is None:
            return (yield from wrapped(*args, **kwargs))
        with lease as held:
            if (parameter := spec.injection.parameter) is not None:
                kwargs[parameter] = held
            return (yield from wrapped(*args, **kwargs))


class _AsyncGeneratorFunction(_Function):
    _self_call = copies.ASYNC_GENERATOR

    async def __call__(self, /, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        wrapped = self.__wrapped__
        spec: LeaseSpec = self._self_spec
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


def wrap(function: Any, spec: LeaseSpec) -> Any:
    """Return `function` decorated: each of its calls holds a lease, as `spec` says.

    It may be any callable. Of a static or class method the function in it is decorated.
    """
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(wrap(function.__func__, spec))
    body = function
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

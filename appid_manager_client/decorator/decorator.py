"""`uses_appid`: a lease around every call of a function. Checks what it was asked for when the module is imported.

How the lease travels into the call is `injection.py`'s business, what a call does is `wrappers.py`'s.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, TypedDict, TypeVar, Unpack, overload

from ..checks import check_name, check_seconds
from ..client import AppIdClient
from ..default import get_default_client
from ..lease.held import Lease
from ..lease.options import LeaseOptions, WaitOptions
from . import injection, wrappers
from .injection import DEFAULT_PARAMETER, INJECTED

__all__ = ["INJECTED", "uses_appid"]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
DescriptorT = TypeVar("DescriptorT", bound="classmethod[Any, Any, Any]")


class _Unset(str):
    """A default that looks like what it stands for, and can be told from the same text given by a caller."""


_UNSET_INJECT: Final = _Unset(DEFAULT_PARAMETER)


class PoolOptions(TypedDict, total=False):
    """What can be asked of each lease of a pool; see `LeasePool.lease`."""

    timeout: float | None
    min_remaining: float


class ClientOptions(PoolOptions, total=False):
    """What can be asked of each lease of a client; see `AppIdClient.lease`."""

    max_retries: int
    retry_interval: float
    ttl: float | None
    holder: str | None
    on_lost: Callable[[Lease], object] | None


_WAIT_OPTIONS = frozenset({"timeout", "max_retries", "retry_interval", "min_remaining"})


class Pool(Protocol):
    """What the decorator needs of a pool."""

    @property
    def product_name(self) -> str: ...

    @property
    def lease(self) -> Callable[..., Any]: ...


class Decorator(Protocol):
    """Gives a function back as what it was: same signature, same kind."""

    @overload
    def __call__(self, function: FunctionT, /) -> FunctionT: ...
    @overload
    def __call__(self, function: DescriptorT, /) -> DescriptorT: ...


@overload
def uses_appid(
    product: str | Callable[..., str],
    *,
    client: AppIdClient | None = None,
    inject: str | None = ...,
    **options: Unpack[ClientOptions],
) -> Decorator: ...


@overload
def uses_appid(
    product: str | None = None,
    *,
    pool: Pool,
    inject: str | None = ...,
    **options: Unpack[PoolOptions],
) -> Decorator: ...


def uses_appid(
    product: str | Callable[..., str] | None = None,
    *,
    client: AppIdClient | None = None,
    pool: Pool | None = None,
    inject: str | None = _UNSET_INJECT,
    **options: Any,
) -> Decorator:
    """Have every call of a function hold an AppID, from before its first line until after its last.

        @uses_appid("stt_billing")
        def transcribe(path: str, *, lease: Lease = INJECTED) -> str:
            return engine.run(path, lease.appid, lease.vid)

        transcribe("call.wav")

    For functions, methods, class and static methods (above or below `@classmethod` and `@staticmethod`), coroutine
    functions, generators and async generators; these acquire at the first `next`, and give back when they are
    exhausted or closed. It stands below whatever registers the function elsewhere (`@app.task`, `@app.get`).

    Args:
        product: the product, or a function that gives it, called with the call's arguments (`self` or `cls` first).
            With a pool it can be left out: a pool has its product.
        client: whose leases to use; default: `get_default_client()`, asked for at each call.
        pool: check leases out of this pool instead.
        inject: the parameter that gets the lease. It is left out of the signature that others see. The default,
            `"lease"`, does nothing where there is no such parameter; `None`: never inject.
        timeout, min_remaining: as in `AppIdClient.lease`, and in `LeasePool.lease`.
        max_retries, retry_interval, ttl, holder, on_lost: as in `AppIdClient.lease`; not with a pool.

    A caller that passes the lease itself (`transcribe(path, lease=mine)`) is taken at its word: no second AppID.

    Raises:
        TypeError, ValueError: when the function is decorated: what was asked for can't work. The message says what to
            write instead.
        NoAppIdAvailable, ProductNotFound, ...: at a call, as the lease raises them; the function has not run then.
    """
    explicit = inject is not _UNSET_INJECT
    if inject is not None and not isinstance(inject, str):
        raise TypeError(
            f"inject must be the name of a parameter, or None to inject nothing, not {inject!r}"
        )
    if inject is not None and not inject.isidentifier():
        raise ValueError(f"inject must be the name of a parameter, not {inject!r}")
    if pool is not None:
        source = _from_pool(product, pool, client, options)
    else:
        source = _from_client(product, client, options)
    choose = product if callable(product) else None

    def decorate(function: Any = None, /) -> Any:  # None: called as if it were the function
        body = _check_function(function)
        where = injection.find(body, inject, explicit=explicit)
        return wrappers.wrap(function, wrappers.Plan(source, choose, where))

    return decorate


def _from_pool(
    product: object, pool: Any, client: object, options: dict[str, Any]
) -> Callable[..., Any]:
    if isinstance(pool, AppIdClient) or not callable(getattr(pool, "lease", None)):
        raise TypeError(f"pool must be a LeasePool (client.pool(...)), not {type(pool).__name__}")
    if client is not None:
        raise TypeError("client and pool can't be given together: a pool has its client")
    refused = [name for name in options if name not in PoolOptions.__annotations__]
    if refused:
        raise TypeError(
            f"{', '.join(refused)} can't be given with pool, whose leases are shared by many calls: "
            f"only {', '.join(PoolOptions.__annotations__)}"
        )
    if callable(product):
        raise TypeError("product can't be a function with pool: a pool has one product")
    if product is not None:
        check_name(product, "product")
        if product != pool.product_name:
            raise ValueError(f"the pool is of product {pool.product_name!r}, not {product!r}")
    if options.get("timeout") is not None:
        check_seconds(options["timeout"], "timeout")
    if "min_remaining" in options:
        check_seconds(options["min_remaining"], "min_remaining")
    return partial(pool.lease, **options) if options else pool.lease


def _from_client(product: object, client: object, options: dict[str, Any]) -> Callable[..., Any]:
    if product is None:
        raise TypeError("product is required: @uses_appid('stt_billing')")
    if not callable(product):
        check_name(product, "product")
    elif inspect.iscoroutinefunction(product):
        raise TypeError("product must be text or a plain function, not a coroutine function")
    if client is not None and not isinstance(client, AppIdClient):
        raise TypeError(f"client must be an AppIdClient, not {type(client).__name__}")
    known = ClientOptions.__annotations__
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(
            f"uses_appid() takes no option {', '.join(unknown)}; it takes {', '.join(known)}"
        )
    wait = {name: value for name, value in options.items() if name in _WAIT_OPTIONS}
    rest = {name: value for name, value in options.items() if name not in _WAIT_OPTIONS}
    LeaseOptions(WaitOptions(**wait), **rest)  # refuses here what it would refuse at each call

    def lease(name: str) -> Lease:
        return (client or get_default_client()).lease(name, **options)

    return lease if callable(product) else partial(lease, str(product))


_REGISTERS = {"celery": "@app.task", "_pytest": "@pytest.fixture"}
"""Packages whose decorators keep the function as they found it: what stands above them never sees a call."""


def _check_function(function: Any) -> Any:
    """The function itself, out of a static or class method.

    Raises:
        TypeError: it can't be decorated; the message says what to do.
    """
    # The type's own bases: asking a lazy proxy for its class would make it do its work now.
    for base in type(function).__mro__:
        register = _REGISTERS.get(str(base.__module__).partition(".")[0])
        if register is not None:
            raise TypeError(
                f"@uses_appid must stand below {register}: above it, what was registered would run without a lease"
            )
    if isinstance(function, (classmethod, staticmethod)):
        return function.__func__
    if inspect.isclass(function):
        raise TypeError(
            f"@uses_appid decorates functions, not the class {function.__qualname__}: put it above a method"
        )
    if callable(function):
        return function
    if hasattr(function, "__get__"):
        raise TypeError(
            f"@uses_appid can't decorate a {type(function).__name__}: "
            f"put it below @{type(function).__name__}, directly above the function"
        )
    raise TypeError(
        f"@uses_appid decorates functions, not a {type(function).__name__}; it takes the product first: "
        "@uses_appid('stt_billing')"
    )

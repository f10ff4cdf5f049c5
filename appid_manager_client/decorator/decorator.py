"""`uses_appid`: every call of the decorated function holds a lease.

Owns the arguments of the decorator, which it checks when the function is decorated. How the lease
gets into the call is in `injection.py`, and what a call does in `wrappers.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, TypedDict, TypeVar, Unpack, overload

from ..checks import check_name, check_product, check_seconds
from ..client import AppIdClient
from ..default import get_default_client
from ..lease.held import Lease
from ..lease.options import LeaseOptions, WaitOptions
from . import injection, wrappers
from .bare import is_written_bare
from .injection import DEFAULT_PARAMETER, INJECTED

__all__ = ["INJECTED", "uses_appid"]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
DescriptorT = TypeVar("DescriptorT", bound="classmethod[Any, Any, Any]")


class _Unset(str):
    """A default that equals the text it stands for, and that `is` tells from such an argument."""


_UNSET_INJECT: Final = _Unset(DEFAULT_PARAMETER)


class PoolLeaseOptions(TypedDict, total=False):
    """The options of each lease of a pool; see `LeasePool.lease`."""

    timeout: float | None
    min_remaining: float


class ClientLeaseOptions(PoolLeaseOptions, total=False):
    """The options of each lease of a client; see `AppIdClient.lease`."""

    max_retries: int
    retry_interval: float
    ttl: float | None
    holder: str | None
    on_lost: Callable[[Lease], object] | None


_WAIT_OPTIONS = frozenset({"timeout", "max_retries", "retry_interval", "min_remaining"})


class Pool(Protocol):
    """The part of a pool that the decorator uses."""

    @property
    def product_name(self) -> str: ...

    @property
    def lease(self) -> Callable[..., Lease]: ...


class Decorator(Protocol):
    """Returns a function of the same type: same signature, same kind."""

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
    **options: Unpack[ClientLeaseOptions],
) -> Decorator: ...


@overload
def uses_appid(
    product: str | None = None,
    *,
    pool: Pool,
    inject: str | None = ...,
    **options: Unpack[PoolLeaseOptions],
) -> Decorator: ...


def uses_appid(
    product: str | Callable[..., str] | None = None,
    *,
    client: AppIdClient | None = None,
    pool: Pool | None = None,
    inject: str | None = _UNSET_INJECT,
    **options: Any,
) -> Decorator:
    """Make every call of a function hold an AppID, from before its first line until after its last.

        @uses_appid("stt_billing")
        def transcribe(path: str, *, lease: Lease = INJECTED) -> str:
            return engine.run(path, lease.appid, lease.vid)

        transcribe("call.wav")

    For functions, methods, class and static methods (above or below `@classmethod` and
    `@staticmethod`), coroutine functions, generators and async generators. Generators acquire at
    the first `next`, and release when they are exhausted or closed. Put it below a decorator that
    registers the function elsewhere (`@app.task`, `@app.get`).

    Args:
        product: the product, or a function that returns it for the arguments of a call (`self` or
            `cls` first). It can be left out with a pool, which has its own product.
        client: the client to lease from; default: `get_default_client()`, called at each call.
        pool: check leases out of this pool instead.
        inject: the parameter that gets the lease. The signature that others see leaves it out. The
            default, `"lease"`, does nothing if there is no such parameter; `None`: never inject.
        timeout, min_remaining: as in `AppIdClient.lease`, and in `LeasePool.lease`.
        max_retries, retry_interval, ttl, holder, on_lost: as in `AppIdClient.lease`; not with a
            pool.

    If a caller passes a lease itself (`transcribe(path, lease=mine)`), no second AppID is acquired.

    Raises:
        TypeError, ValueError: when the function is decorated: the arguments can't work. The message
            says what to write instead.
        NoAppIdAvailable, ProductNotFound, ...: at a call, as the lease raises them; the function
            has not run then.
    """
    explicit = inject is not _UNSET_INJECT
    if not explicit and not options and client is None and pool is None:
        frame = inspect.currentframe()
        if is_written_bare(product, frame and frame.f_back):
            raise TypeError("@uses_appid takes the product first: @uses_appid('stt_billing')")
    injection.check_parameter(inject)
    if pool is not None:
        source = _from_pool(product, pool, client, options)
        bound_to = "pool"
    else:
        source = _from_client(product, client, options)
        bound_to = "" if client is None else "client"
    product_of_call = product if callable(product) else None

    def decorate(function: Any = None, /) -> Any:  # None: it was called as if it were the function
        body = _function_in(function)
        found = injection.find(body, inject, explicit=explicit)
        return wrappers.wrap(function, wrappers.LeaseSpec(source, product_of_call, found, bound_to))

    return decorate


def _from_pool(
    product: object, pool: Pool, client: object, options: dict[str, Any]
) -> Callable[..., Lease]:
    if isinstance(pool, AppIdClient) or not callable(getattr(pool, "lease", None)):
        raise TypeError(f"pool must be a LeasePool (client.pool(...)), not {type(pool).__name__}")
    if client is not None:
        raise TypeError("client and pool can't be given together: a pool has its client")
    known = PoolLeaseOptions.__annotations__
    refused = [name for name in options if name not in known]
    if refused:
        raise TypeError(
            f"{', '.join(refused)} can't be given with pool, whose AppIDs serve many calls: "
            f"only {', '.join(known)}"
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


def _from_client(product: object, client: object, options: dict[str, Any]) -> Callable[..., Lease]:
    if product is None:
        raise TypeError("product is required: @uses_appid('stt_billing')")
    check_product(product)
    if client is not None and not isinstance(client, AppIdClient):
        raise TypeError(f"client must be an AppIdClient, not {type(client).__name__}")
    known = ClientLeaseOptions.__annotations__
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(
            f"uses_appid() takes no option {', '.join(unknown)}; it takes {', '.join(known)}"
        )
    wait = {name: value for name, value in options.items() if name in _WAIT_OPTIONS}
    rest = {name: value for name, value in options.items() if name not in _WAIT_OPTIONS}
    LeaseOptions(WaitOptions(**wait), **rest)  # raises now what it would raise at each call

    lease = partial(_lease_of, client, options)
    return lease if callable(product) else partial(lease, str(product))


def _lease_of(client: AppIdClient | None, options: dict[str, Any], product: str) -> Lease:
    return (client or get_default_client()).lease(product, **options)


_REGISTERING_DECORATORS = {"celery": "@app.task", "_pytest": "@pytest.fixture"}
"""By package: decorators that register the function as they found it.

A decorator above them would not see the calls.
"""


def _function_in(function: Any) -> Any:
    """Return the function to decorate: of a static or class method the one in it.

    Raises:
        TypeError: it can't be decorated; the message says what to do.
    """
    # The bases of its type are looked at, and not its class: asking a lazy proxy for its class
    # would evaluate it.
    for base in type(function).__mro__:
        decorator = _REGISTERING_DECORATORS.get(str(base.__module__).partition(".")[0])
        if decorator is not None:
            raise TypeError(
                f"@uses_appid must stand below {decorator}: "
                "above it, what was registered would run without a lease"
            )
    if isinstance(function, (classmethod, staticmethod)):
        return function.__func__
    if inspect.isclass(function):
        raise TypeError(
            f"@uses_appid decorates functions, not the class {function.__qualname__}: "
            "put it above a method"
        )
    if callable(function):
        return function
    if hasattr(function, "__get__"):
        raise TypeError(
            f"@uses_appid can't decorate a {type(function).__name__}: "
            f"put it below @{type(function).__name__}, directly above the function"
        )
    raise TypeError(
        f"@uses_appid decorates functions, not a {type(function).__name__}; "
        "it takes the product first: @uses_appid('stt_billing')"
    )

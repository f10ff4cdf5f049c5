"""What a task or job says about the AppID that it needs, checked when the module that says it is imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appid_manager_client import AppIdClient, Lease, NoAppIdAvailable
from appid_manager_client.checks import check_name
from appid_manager_client.decorator import injection
from appid_manager_client.decorator.injection import DEFAULT_PARAMETER, Injection
from appid_manager_client.lease.options import DEFAULT_TTL, MAX_HOLDER, LeaseOptions, WaitOptions
from appid_manager_client.runtime.time import SystemTime

from ._sweeping import journaled_default_client

ON_EXHAUSTED = ("reschedule", "wait", "fail")

PATIENCE = 5.0
"""Seconds that a task waits in its worker in any case: for a service that restarts, or an hour about to turn."""

LONGEST_HOP = 300.0
"""Seconds that a rescheduled task stays away at the most: far below the visibility timeouts of brokers."""

_UNKNOWN_HOP = 60.0
_JITTER = 0.5

Product = str | Callable[..., str]


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How a task or job gets its AppID.

    Attributes:
        product: the product, or a callable of the call's arguments that gives it.
        client: whom to ask; `None`: the default client.
        on_exhausted: when every AppID is taken: "reschedule" the task, "wait" in the worker, or "fail".
        inject: the name of the parameter that gets the lease, where the function has one; `None`: never inject.
        timeout: seconds that waiting may take in all, rescheduling included; `None`: no bound when rescheduling, and
            the lease's number of tries when waiting.
        min_remaining, ttl: as in `AppIdClient.lease`.
    """

    product: Product
    client: AppIdClient | None = None
    on_exhausted: str = "reschedule"
    inject: str | None = DEFAULT_PARAMETER
    timeout: float | None = None
    min_remaining: float = 0.0
    ttl: float | None = DEFAULT_TTL

    def __post_init__(self) -> None:
        if not callable(self.product):
            check_name(self.product, "product")
        elif inspect.iscoroutinefunction(self.product):
            raise TypeError("product must be text or a plain function, not a coroutine function")
        if self.client is not None and not isinstance(self.client, AppIdClient):
            raise TypeError(
                f"client must be an AppIdClient or None, not {type(self.client).__name__}"
            )
        if self.on_exhausted not in ON_EXHAUSTED:
            raise ValueError(
                f"on_exhausted must be one of {', '.join(map(repr, ON_EXHAUSTED))}, not {self.on_exhausted!r}"
            )
        if self.inject is not None and not str(self.inject).isidentifier():
            raise ValueError(
                f"inject must be the name of a parameter, or None to inject nothing, not {self.inject!r}"
            )
        # Refuses here what it would refuse at each call.
        LeaseOptions(WaitOptions(timeout=self.timeout, min_remaining=self.min_remaining), self.ttl)

    def lease(self, args: Sequence[Any], kwargs: Mapping[str, Any], holder: str) -> Lease:
        """The lease for one call, not acquired yet."""
        product = self.product(*args, **kwargs) if callable(self.product) else self.product
        client = journaled_default_client() if self.client is None else self.client
        timeout = self.timeout if self.on_exhausted == "wait" else PATIENCE
        return client.lease(
            product,
            timeout=timeout,
            min_remaining=self.min_remaining,
            ttl=self.ttl,
            holder=holder[:MAX_HOLDER],
        )


def hop(error: NoAppIdAvailable) -> float:
    """Seconds until a rescheduled task should try again, the jitter after the turn of the hour included."""
    seconds = _UNKNOWN_HOP if error.retry_after is None else error.retry_after
    return min(seconds, LONGEST_HOP) + SystemTime().uniform(0.0, _JITTER)


def injection_into(body: Callable[..., Any], options: TaskOptions) -> Injection:
    """How the body of a task or job gets its lease.

    Raises:
        TypeError: it can't: the parameter is positional-only, or the body runs only after the call has returned.
    """
    if inspect.iscoroutinefunction(body) or inspect.isgeneratorfunction(body):
        raise TypeError(
            f"{body.__qualname__}() is a coroutine function or a generator: its body would run after the AppID was "
            "given back; make it a plain function that runs it to its end (asyncio.run)"
        )
    return injection.find(
        body, options.inject, explicit=options.inject not in (None, DEFAULT_PARAMETER)
    )

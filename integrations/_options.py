"""What a task or job asks for with its AppID: the same seven options for Celery and RQ.

Their names, defaults, meanings and checks stand here, once. How a lease gets into a body is for
`celery.py` and `rq.py`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ParamSpec, TypeVar

from appid_manager_client import AppIdClient, AppIdManagerError, Lease, NoAppIdAvailable
from appid_manager_client.checks import check_product
from appid_manager_client.decorator import injection
from appid_manager_client.decorator.bare import is_written_bare
from appid_manager_client.decorator.injection import DEFAULT_PARAMETER, Injection
from appid_manager_client.lease.options import DEFAULT_TTL, LeaseOptions, WaitOptions
from appid_manager_client.runtime.identity import MAX_HOLDER, default_holder

from ._journal import journaled_default_client
from ._rescheduling import Standing

P = ParamSpec("P")
R = TypeVar("R")

ON_EXHAUSTED = ("reschedule", "wait", "fail")

PATIENCE = 5.0
"""Seconds that a task waits in its worker before it is rescheduled, or fails without a `timeout`.

Long enough for a service that restarts, and for an hour that is about to turn.
"""

Product = str | Callable[..., str]


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How a task or job gets its AppID.

    Args:
        product: the product, or a function of the call's arguments that returns it.
        client: the `AppIdClient` to use, which should keep a journal. `None`: the default client,
            which keeps one.
        on_exhausted: what happens when every AppID is taken. `"reschedule"`: the same task or job
            runs again after the hour has turned, and its own retries stay as they were.
            `"wait"`: it waits in its worker. `"fail"`: it fails with `NoAppIdAvailable`.
        inject: the name of the parameter that gets the lease, if the function has it. `None`: no
            parameter gets it.
        timeout: seconds that waiting may take in all, rescheduling included. Before it is
            rescheduled, a task waits in its worker for at most 5 of them each time. `None`: no
            bound for `"reschedule"`, the lease's number of tries for `"wait"`, 5 seconds for
            `"fail"`.
        min_remaining, ttl: as in `AppIdClient.lease`.
    """

    product: Product
    _: KW_ONLY
    client: AppIdClient | None = None
    on_exhausted: str = "reschedule"
    inject: str | None = DEFAULT_PARAMETER
    timeout: float | None = None
    min_remaining: float = 0.0
    ttl: float | None = DEFAULT_TTL

    def __post_init__(self) -> None:
        check_product(self.product)
        if self.client is not None and not isinstance(self.client, AppIdClient):
            raise TypeError(
                f"client must be an AppIdClient or None, not {type(self.client).__name__}"
            )
        if self.on_exhausted not in ON_EXHAUSTED:
            ways = ", ".join(map(repr, ON_EXHAUSTED))
            raise ValueError(f"on_exhausted must be one of {ways}, not {self.on_exhausted!r}")
        injection.check_parameter(self.inject)
        # Refuses here what it would refuse at each call.
        LeaseOptions(WaitOptions(timeout=self.timeout, min_remaining=self.min_remaining), self.ttl)

    def lease(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        holder: str,
        standing: Standing | None = None,
    ) -> Lease:
        """Returns the lease for one call, not acquired yet.

        `standing`: the place in line that the task carries along; `None`: it can't be rescheduled.
        """
        product = self.product(*args, **kwargs) if callable(self.product) else self.product
        return self._client.lease(
            product,
            ticket=None if standing is None else standing.ticket,
            come_back=None if standing is None else standing.come_back,
            timeout=self._patience,
            min_remaining=self.min_remaining,
            ttl=self.ttl,
            holder=f"{holder} {default_holder()}"[:MAX_HOLDER],
        )

    def leave_line(self, error: NoAppIdAvailable) -> None:
        """Give up the place in line that a task kept which doesn't wait any longer.

        A place that can't be given up lapses.
        """
        if error.ticket is not None and error.product_name is not None:
            with contextlib.suppress(AppIdManagerError):
                self._client.leave_line(error.product_name, error.ticket)

    @property
    def _client(self) -> AppIdClient:
        return journaled_default_client() if self.client is None else self.client

    @property
    def _patience(self) -> float | None:
        """Seconds that one run waits in its worker; `None`: as long as the lease has tries."""
        if self.on_exhausted == "wait":
            return self.timeout
        if self.timeout is None:
            return PATIENCE
        return self.timeout if self.on_exhausted == "fail" else min(self.timeout, PATIENCE)


def takes(
    options: Callable[P, TaskOptions],
) -> Callable[[Callable[[TaskOptions], R]], Callable[P, R]]:
    """Let a function of one `TaskOptions` be called with the options: `@takes(TaskOptions)`.

    Signature, types and the docstring's `Args` are those of `TaskOptions`.
    """

    def decorate(function: Callable[[TaskOptions], R]) -> Callable[P, R]:
        # Resolved here: other modules don't have the names in the annotations.
        signature = inspect.signature(options, eval_str=True).replace(
            return_annotation=inspect.signature(function, eval_str=True).return_annotation
        )

        @functools.wraps(function)
        def with_options(*args: P.args, **kwargs: P.kwargs) -> R:
            frame = inspect.currentframe()
            if len(args) == 1 and not kwargs and is_written_bare(args[0], frame and frame.f_back):
                name = function.__name__
                raise TypeError(f"@{name} takes the product first: @{name}('stt_billing')")
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            return function(options(*args, **kwargs))

        setattr(with_options, "__signature__", signature)
        parameters = signature.parameters.values()
        with_options.__annotations__ = {p.name: p.annotation for p in parameters}
        with_options.__annotations__["return"] = signature.return_annotation
        if function.__doc__ and options.__doc__:  # python -OO has none
            _, title, meanings = inspect.cleandoc(options.__doc__).partition("Args:")
            with_options.__doc__ = f"{inspect.cleandoc(function.__doc__)}\n\n{title}{meanings}"
        return with_options

    return decorate


def injection_into(body: Callable[..., Any], options: TaskOptions) -> Injection:
    """Returns how the body of a task or job gets its lease.

    Raises:
        TypeError: it can't get one: the parameter is positional-only, or the body runs only after
            the call has returned.
    """
    if inspect.iscoroutinefunction(body) or inspect.isgeneratorfunction(body):
        raise TypeError(
            f"{body.__qualname__}() is a coroutine function or a generator: its body would run "
            "after the AppID was released; make it a plain function that runs it to its end "
            "(asyncio.run)"
        )
    return injection.find(
        body, options.inject, explicit=options.inject not in (None, DEFAULT_PARAMETER)
    )

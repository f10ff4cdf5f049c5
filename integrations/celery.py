"""Leases for Celery tasks: the base class `AppIdTask`, and what its workers do about killed children.

The lease is taken and given back around the body, inside `run`, so that `autoretry_for`, eager and direct calls see it
too. Signals and callbacks decide nothing: Celery swallows what they raise, and skips them on many ways in which a task
ends. What a killed child held is swept up by the worker's main process, which learns of deaths through `AppIdRequest`.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, NoReturn

from appid_manager_client import (
    AppIdClient,
    ConfigurationError,
    Lease,
    LeaseNotHeld,
    NoAppIdAvailable,
)
from appid_manager_client.decorator.injection import DEFAULT_PARAMETER, visible_signature
from appid_manager_client.lease.options import DEFAULT_TTL

from ._options import Product, TaskOptions, hop, injection_into
from ._sweeping import Sweeper, journaled_default_client, warn_without_journal

try:
    from celery import Celery, Task
    from celery.exceptions import Ignore, TimeLimitExceeded, WorkerLostError
    from celery.signals import (
        task_failure,
        task_revoked,
        worker_init,
        worker_process_init,
        worker_ready,
        worker_shutdown,
    )
    from celery.utils.log import get_task_logger
    from celery.worker.request import Request
except ImportError as missing:
    raise ConfigurationError(
        'leases for Celery tasks need Celery 5.5 or newer: pip install "appid-manager-client[celery]"'
    ) from missing

__all__ = ["WAITING_FOR_APPID", "AppIdRequest", "AppIdTask", "appid_options"]

logger = get_task_logger(__name__)

WAITING_FOR_APPID = "WAITING_FOR_APPID"
"""The state of a task that was rescheduled because every AppID was taken. Its meta says product and time."""

_WAITS = "appid_waits"
_SINCE = "appid_waiting_since"
_HEADERS = (_WAITS, _SINCE)
_BODY = "_appid_body"
_OPTIONS = ("product", "client", "on_exhausted", "inject", "timeout", "min_remaining", "ttl")


class AppIdRequest(Request):
    """The worker's side of a task: tells the sweeper of every child that ends, or is about to.

    The hooks for a hard time limit come before the child is killed, so that nothing is given back here and now.
    """

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> Any:
        """A body raised (`return_ok`), or the child ended without an answer."""
        try:
            return super().on_failure(exc_info, send_failed_event, return_ok)
        finally:
            if not return_ok:
                _sweeper.watch(self.worker_pid)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        """A time limit has passed; the hard one ends the child."""
        try:
            return super().on_timeout(soft, timeout)
        finally:
            if not soft:
                _sweeper.watch(self.worker_pid)

    def terminate(self, *args: Any, **kwargs: Any) -> Any:
        """The task was revoked while it ran."""
        try:
            return super().terminate(*args, **kwargs)
        finally:
            _sweeper.watch(self.worker_pid)

    def cancel(self, *args: Any, **kwargs: Any) -> Any:
        """The worker shuts down, or lost the broker."""
        try:
            return super().cancel(*args, **kwargs)
        finally:
            _sweeper.watch(self.worker_pid)


class AppIdTask(Task):
    """The base class of tasks that each need an AppID of their own while they run.

        @app.task(base=AppIdTask, appid_product="stt_billing")
        def transcribe(path, lease: Lease = INJECTED):
            ...

    The AppID is given back however the task ends. A parameter named `lease` gets it and isn't part of the task's
    signature; `self.appid_lease` gives it too, where the task is bound.

    Attributes:
        appid_product: the product, or a callable of the task's arguments that gives it. `None`: a task without AppID.
        appid_client: an `AppIdClient`, which should keep a journal; `None`: the default client, which does.
        appid_on_exhausted: what happens when every AppID is taken. "reschedule": the same task comes again when the
            hour has turned, its own retries untouched; run eagerly or called directly it raises. "wait": it
            waits in the worker. "fail": it raises. What is raised is `NoAppIdAvailable`.
        appid_inject: the name of the parameter that gets the lease; `None`: none does.
        appid_timeout: seconds that waiting may take in all, rescheduling included; `None`: no bound.
        appid_min_remaining: seconds of the hour that must be left when the body starts.
        appid_ttl: as in `AppIdClient.lease`.
    """

    abstract = True
    Request = "appid_manager_client.integrations.celery:AppIdRequest"

    appid_product: Product | None = None
    appid_client: AppIdClient | None = None
    appid_on_exhausted: str = "reschedule"
    appid_inject: str | None = DEFAULT_PARAMETER
    appid_timeout: float | None = None
    appid_min_remaining: float = 0.0
    appid_ttl: float | None = DEFAULT_TTL

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        product = inspect.getattr_static(cls, "appid_product")
        run = inspect.getattr_static(cls, "run")
        body = getattr(run, _BODY, run)  # an inherited one is leased with its own class's options
        if product is None:
            if body is not run:
                cls.run = body
            return
        if isinstance(product, staticmethod):
            product = product.__func__
        options = TaskOptions(product, *(getattr(cls, f"appid_{name}") for name in _OPTIONS[1:]))
        if body is not Task.run:
            _lease_around(cls, body, options)

    @property
    def appid_lease(self) -> Lease:
        """The lease of the task that runs.

        Raises:
            LeaseNotHeld: there is none.
        """
        lease: Lease | None = getattr(self.request, "appid_lease", None)
        if lease is None:
            raise LeaseNotHeld(f"{self.name} has no AppID: it is not running, or has no product")
        return lease


def appid_options(
    product: Product,
    *,
    client: AppIdClient | None = None,
    on_exhausted: str = "reschedule",
    inject: str | None = DEFAULT_PARAMETER,
    timeout: float | None = None,
    min_remaining: float = 0.0,
    ttl: float | None = DEFAULT_TTL,
) -> dict[str, Any]:
    """The options of an `AppIdTask`, for `@app.task(**appid_options("stt_billing"))`.

    Celery makes tasks only when an app is used for the first time. This checks the options where they are written.

    Raises:
        ValueError, TypeError: an option can't be used; the message names it.
    """
    options = TaskOptions(product, client, on_exhausted, inject, timeout, min_remaining, ttl)
    attributes = {f"appid_{name}": getattr(options, name) for name in _OPTIONS}
    return {"base": AppIdTask, **attributes}


def _lease_around(cls: type[AppIdTask], run: Any, options: TaskOptions) -> None:
    """Replace the `run` of a task's class by one that holds a lease, and hide the lease from the task's callers."""
    bound = not isinstance(run, staticmethod)
    function: Callable[..., Any] = run if bound else run.__func__
    injection = injection_into(function, options)

    @functools.wraps(function)
    def leased(self: AppIdTask, *args: Any, **kwargs: Any) -> Any:
        body = MethodType(function, self) if bound else function
        if injection.is_passed(body, args, kwargs):
            return body(*args, **kwargs)
        with _lease_for(self, options, args, kwargs) as lease:
            if injection.parameter is not None:
                kwargs[injection.parameter] = lease
            return body(*args, **kwargs)

    # Celery takes __wrapped__ for the undecorated body, and would call that in its place.
    del leased.__dict__["__wrapped__"]
    setattr(leased, _BODY, run)
    cls.run = leased
    if injection.parameter is not None and "__header__" in cls.__dict__:

        @functools.wraps(function)
        def visible(*args: Any, **kwargs: Any) -> None: ...

        visible.__signature__ = visible_signature(function, injection)  # type: ignore[attr-defined]
        cls.__header__ = cls.__dict__["app"].type_checker(visible, bound=bound)


@contextmanager
def _lease_for(
    task: AppIdTask, options: TaskOptions, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Lease]:
    request = task.request
    outer: Lease | None = getattr(request, "appid_lease", None)
    if outer is not None and outer.held:  # a body that calls `super().run()`
        yield outer
        return
    lease = options.lease(args, kwargs, f"{task.name}[{request.id}] {request.hostname or ''}")
    try:
        try:
            lease.acquire()
        except NoAppIdAvailable as error:
            _out_of_appids(task, options, error)
        request.appid_lease = lease
        # A retry of the body's own would carry these on, and count its waits from then.
        request.headers = {k: v for k, v in (request.headers or {}).items() if k not in _HEADERS}
        # Task loggers name the task and its id themselves.
        logger.info("holds %s of %s", lease.appid, lease.product_name)
        yield lease
    finally:
        lease.release()


def _out_of_appids(task: AppIdTask, options: TaskOptions, error: NoAppIdAvailable) -> NoReturn:
    """Have the same task come again later, in short hops: in one long one, brokers would deliver it twice."""
    request = task.request
    if options.on_exhausted != "reschedule" or request.is_eager or request.called_directly:
        raise error
    headers = dict(request.headers or {})
    now = time.time()
    since = float(headers.get(_SINCE, now - error.waited))
    waits = int(headers.get(_WAITS, 0)) + 1
    seconds = hop(error)
    if options.timeout is not None and now + seconds > since + options.timeout:
        raise error
    headers |= {_SINCE: since, _WAITS: waits}
    ignored = vars(request).get("ignore_result")  # the caller's word, if there is one
    ignored = task.ignore_result if ignored is None else ignored
    again = task.signature_from_request(
        request,
        retries=request.retries,
        countdown=seconds,
        headers=headers,
        ignore_result=ignored,  # Celery 5.5 forgets it
    )
    logger.info(
        "waits for an AppID of %s, again in %.1f s (wait %d): %s",
        error.product_name,
        seconds,
        waits,
        error,
    )
    if not ignored:
        meta = {
            "product": error.product_name,
            "available_at": error.available_at,
            "next_try": now + seconds,
            "waiting_since": since,
            "waits": waits,
        }
        # Before the message: the next run's state must not be overwritten by this one's.
        task.update_state(state=WAITING_FOR_APPID, meta=meta)
    again.apply_async()
    raise Ignore()


# --- in the worker's main process


def _clients() -> Iterable[AppIdClient]:
    clients = {client for client in _explicit.values() if client.journal is not None}
    try:
        clients.add(journaled_default_client())
    except ConfigurationError as error:
        logger.warning("there is no default client to give back with: %s", error)
    return clients


_explicit: dict[str, AppIdClient] = {}
_sweeper = Sweeper(_clients)


@worker_init.connect(weak=False)
def _before_the_pool(sender: Any, **kwargs: Any) -> None:
    """Before children are forked: turn the journal on, so that tasks with a plain `uses_appid` have it too."""
    _clients()


@worker_process_init.connect(weak=False)
def _in_a_child(sender: Any, **kwargs: Any) -> None:
    """The same in each child: one that is spawned starts as a fresh interpreter, and inherits nothing."""
    _clients()


@worker_ready.connect(weak=False)
def _start_sweeping(sender: Any, **kwargs: Any) -> None:
    """Also what the last worker left, if it was killed. Comes again after each reconnection to the broker."""
    app: Celery = sender.app
    for name, task in app.tasks.items():
        client = getattr(task, "appid_client", None)
        if getattr(task, "appid_product", None) is not None and client is not None:
            warn_without_journal(client, f"task {name}")
            _explicit[name] = client
    _sweeper.start()


@task_failure.connect(weak=False)
def _after_failure(sender: Any, exception: Any = None, **kwargs: Any) -> None:
    """For tasks of other classes, whose requests aren't ours. In children, where it comes too, nothing sweeps."""
    if isinstance(exception, (WorkerLostError, TimeLimitExceeded)):
        _sweeper.watch(None)


@task_revoked.connect(weak=False)
def _after_revocation(sender: Any, terminated: bool = False, **kwargs: Any) -> None:
    if terminated:
        _sweeper.watch(None)


@worker_shutdown.connect(weak=False)
def _stop_sweeping(sender: Any, **kwargs: Any) -> None:
    """The pool's children are gone, by force perhaps: a last look."""
    _sweeper.stop()

"""Leases for Celery tasks: the base class `AppIdTask`, and the sweep of its workers.

The lease is acquired and released around the body, inside `run`, so that `autoretry_for`, eager
calls and direct calls see it too. Signals and callbacks decide nothing: Celery swallows what they
raise, and skips them for many ways in which a task ends. The worker's main process releases what
a killed child held; it learns of deaths through `AppIdRequest`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from types import MethodType
from typing import Any, NoReturn

from appid_manager_client import (
    AppIdClient,
    ConfigurationError,
    Lease,
    LeaseNotHeld,
    NoAppIdAvailable,
)
from appid_manager_client.decorator.injection import visible_signature
from appid_manager_client.text import get_logger

from ._journal import default_clients, warn_without_journal
from ._options import Product, TaskOptions, injection_into, takes
from ._rescheduling import CARRIED, Hop, Standing
from ._sweeper import Sweeper

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
        "leases for Celery tasks need Celery 5.5 or newer: "
        'pip install "appid-manager-client[celery]"'
    ) from missing

__all__ = ["WAITING_FOR_APPID", "AppIdRequest", "AppIdTask", "appid_options"]

# A task logger, which adds the task's name and id, and which escapes what others wrote.
logger = get_task_logger(get_logger(__name__).name)

WAITING_FOR_APPID = "WAITING_FOR_APPID"
"""The state of a task that was rescheduled because every AppID was taken.

Its meta has the product, and when the task tries again.
"""

_BODY = "_appid_body"
_ATTRIBUTES = {f"appid_{field.name}": field.name for field in fields(TaskOptions)}
"""The attributes of a task's class, and the option that each one is."""


class AppIdRequest(Request):
    """The worker's side of a task: notifies the sweeper of each child that ends, or is about to.

    Celery calls the hooks of a hard time limit before it kills the child, so nothing is released
    in them.
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
    """The base class of tasks that each hold an AppID of their own while they run.

        @app.task(base=AppIdTask, appid_product="stt_billing")
        def transcribe(path, lease: Lease = INJECTED):
            ...

    The AppID is released however the task ends. A parameter named `lease` gets the lease, and is
    not part of the task's signature; in a bound task `self.appid_lease` is the lease too.

    Attributes:
        appid_product: the product, or a function of the task's arguments that returns it. `None`:
            the task has no AppID.
        appid_client, appid_on_exhausted, appid_inject, appid_timeout, appid_min_remaining,
            appid_ttl: the options of `appid_options`, with the same defaults.
    """

    abstract = True
    Request = "appid_manager_client.integrations.celery:AppIdRequest"

    appid_product: Product | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        run = inspect.getattr_static(cls, "run")
        body = getattr(run, _BODY, run)  # an inherited one gets a lease by its own class's options
        if cls.appid_product is None:
            if body is not run:
                cls.run = body
            return
        options = TaskOptions(**{name: getattr(cls, attr) for attr, name in _ATTRIBUTES.items()})
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


for _field in fields(TaskOptions):
    if _field.name != "product":
        setattr(AppIdTask, f"appid_{_field.name}", _field.default)


@takes(TaskOptions)
def appid_options(options: TaskOptions) -> dict[str, Any]:
    """The options of an `AppIdTask`, for `@app.task(**appid_options("stt_billing"))`.

    Celery makes a task when its app is first used. This checks the options where they are
    written. A task that is run eagerly, or called directly, raises instead of being rescheduled.

    Raises:
        ValueError, TypeError: an option can't be used; the message names it.
    """
    attributes = {attr: getattr(options, name) for attr, name in _ATTRIBUTES.items()}
    return {"base": AppIdTask, **attributes}


def _lease_around(cls: type[AppIdTask], run: Any, options: TaskOptions) -> None:
    """Replace the `run` of a task's class by one that holds a lease, hidden from callers."""
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

    # Celery takes __wrapped__ for the undecorated body, and would call that instead of this.
    del leased.__dict__["__wrapped__"]
    setattr(leased, _BODY, run)
    cls.run = leased
    if injection.parameter is not None and "__header__" in cls.__dict__:

        @functools.wraps(function)
        def visible(*args: Any, **kwargs: Any) -> None: ...

        setattr(visible, "__signature__", visible_signature(function, injection))
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
    standing = None
    if options.on_exhausted == "reschedule" and not (request.is_eager or request.called_directly):
        standing = Standing.of(request.headers or {})
    lease = options.lease(args, kwargs, f"{task.name}[{request.id}]", standing)
    try:
        try:
            lease.acquire()
        except NoAppIdAvailable as error:
            if standing is None:
                raise
            _reschedule(task, options, error)
        request.appid_lease = lease
        # A retry that the body asks for would carry these on, and count its waits from then.
        request.headers = {k: v for k, v in (request.headers or {}).items() if k not in CARRIED}
        # The task logger adds the task's name and id.
        logger.info("holds %s of %s", lease.appid, lease.product_name)
        yield lease
    finally:
        lease.release()


def _reschedule(task: AppIdTask, options: TaskOptions, error: NoAppIdAvailable) -> NoReturn:
    """Publish the same task again, to run later.

    In short hops: brokers deliver a message again whose countdown is long.

    Raises:
        Ignore: always, so that Celery records no end of this run.
        NoAppIdAvailable: `error`, where the wait would end after the task's timeout.
    """
    request = task.request
    headers = dict(request.headers or {})
    try:
        hop = Hop.after(error, headers, options.timeout)
    except NoAppIdAvailable:
        options.leave_line(error)
        raise
    ignored = vars(request).get("ignore_result")  # what the caller said, if anything
    ignored = task.ignore_result if ignored is None else ignored
    again = task.signature_from_request(
        request,
        retries=request.retries,
        countdown=hop.seconds,
        headers=headers | hop.carry(),
        ignore_result=ignored,  # Celery 5.5 forgets it
    )
    logger.info(
        "waits for an AppID of %s, runs again in %.1f s (wait %d): %s",
        error.product_name,
        hop.seconds,
        hop.count,
        error,
    )
    if not ignored:
        meta = {
            "product": error.product_name,
            "available_at": error.available_at,
            "next_try": hop.next_try,
            "waiting_since": hop.since,
            "waits": hop.count,
            **hop.in_line(),
        }
        # Before the message is sent: it must not overwrite the next run's state.
        task.update_state(state=WAITING_FOR_APPID, meta=meta)
    again.apply_async()
    raise Ignore()


# --- in the worker's main process


def _clients() -> Iterable[AppIdClient]:
    explicit = (client for client in _explicit.values() if client.journal is not None)
    return {*explicit, *default_clients(logger)}


_explicit: dict[str, AppIdClient] = {}
"""The clients that tasks name in their options, by the names of the tasks."""

_sweeper = Sweeper(_clients)


@worker_init.connect(weak=False)
def _before_the_pool(sender: Any, **kwargs: Any) -> None:
    """Before children are forked: turn the journal on, for tasks with a plain `uses_appid` too."""
    _clients()


@worker_process_init.connect(weak=False)
def _in_a_child(sender: Any, **kwargs: Any) -> None:
    """The same in each child: a spawned one is a fresh interpreter, and inherits no journal."""
    _clients()


@worker_ready.connect(weak=False)
def _start_sweeping(sender: Any, **kwargs: Any) -> None:
    """Start the sweeper; its first sweep releases what a killed worker before this one held.

    Celery sends this signal again after each reconnection to the broker.
    """
    app: Celery = sender.app
    for name, task in app.tasks.items():
        client = getattr(task, "appid_client", None)
        if getattr(task, "appid_product", None) is not None and client is not None:
            warn_without_journal(client, f"task {name}")
            _explicit[name] = client
    _sweeper.start()


@task_failure.connect(weak=False)
def _after_failure(sender: Any, exception: Any = None, **kwargs: Any) -> None:
    """For tasks of other classes, whose requests are not an `AppIdRequest`.

    Children get this signal too, but run no sweeper.
    """
    if isinstance(exception, (WorkerLostError, TimeLimitExceeded)):
        _sweeper.watch(None)


@task_revoked.connect(weak=False)
def _after_revocation(sender: Any, terminated: bool = False, **kwargs: Any) -> None:
    if terminated:
        _sweeper.watch(None)


@worker_shutdown.connect(weak=False)
def _stop_sweeping(sender: Any, **kwargs: Any) -> None:
    """The pool's children are gone, perhaps killed: sweep a last time."""
    _sweeper.stop()

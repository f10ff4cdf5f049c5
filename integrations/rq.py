"""Leases for RQ jobs: the decorator `appid_job`, and workers that give back what a killed work-horse held.

The lease is taken and given back around the function, in the work-horse; callbacks and exception handlers decide
nothing, as a killed work-horse calls none. The worker sweeps after each job, when the work-horse is certainly gone.
"""

from __future__ import annotations

import copy
import functools
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from appid_manager_client import (
    AppIdClient,
    ConfigurationError,
    Lease,
    NoAppIdAvailable,
    get_default_client,
)
from appid_manager_client.config import JOURNAL_VARIABLE
from appid_manager_client.decorator.injection import DEFAULT_PARAMETER, visible_signature
from appid_manager_client.lease.options import DEFAULT_TTL

from ._options import Product, TaskOptions, hop, injection_into
from ._sweeping import journaled_default_client, sweep, warn_without_journal

try:
    from rq import Retry, get_current_job
    from rq.job import Job
    from rq.scheduler import RQScheduler
    from rq.worker import BaseWorker, SimpleWorker, SpawnWorker, Worker
except ImportError as missing:
    raise ConfigurationError(
        'leases for RQ jobs need RQ 2.6 or newer: pip install "appid-manager-client[rq]"'
    ) from missing

__all__ = ["AppIdSimpleWorker", "AppIdSpawnWorker", "AppIdWorker", "SweepingMixin", "appid_job"]

logger = logging.getLogger("rq.worker.appid")

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

META = "appid"
"""The key in `job.meta` under which a job tells what it holds, held, or waits for."""

_WAITS = "appid_waits"
_SINCE = "appid_waiting_since"
_ENDLESS = 10**9


def appid_job(
    product: Product,
    *,
    client: AppIdClient | None = None,
    on_exhausted: str = "reschedule",
    inject: str | None = DEFAULT_PARAMETER,
    timeout: float | None = None,
    min_remaining: float = 0.0,
    ttl: float | None = DEFAULT_TTL,
) -> Callable[[FunctionT], FunctionT]:
    """Have every run of a job's function hold an AppID of its own.

        @appid_job("stt_billing")
        def transcribe(path: str, *, lease: Lease = INJECTED) -> str:
            ...

        queue.enqueue(transcribe, "call.wav")

    The AppID is given back however the job ends. `job.meta["appid"]` tells which one it has, or what it waits for.
    Called outside of a job, the function behaves the same, but raises instead of being rescheduled.

    Args:
        product: the product, or a function of the job's arguments that gives it.
        client: an `AppIdClient`, which should keep a journal; `None`: the default client, which does.
        on_exhausted: what happens when every AppID is taken. "reschedule": the same job comes again when the hour has
            turned, the retries that it has otherwise untouched; needs a worker `--with-scheduler`. "wait": it waits in
            the work-horse, within the job's own timeout. "fail": it fails with `NoAppIdAvailable`.
        inject: the parameter that gets the lease, where the function has one; `None`: none.
        timeout: seconds that waiting may take in all, rescheduling included; `None`: no bound.
        min_remaining, ttl: as in `AppIdClient.lease`.

    Raises:
        ValueError, TypeError: an option, or the function, can't be used; the message names it.
    """
    options = TaskOptions(product, client, on_exhausted, inject, timeout, min_remaining, ttl)

    def decorate(function: FunctionT) -> FunctionT:
        injection = injection_into(function, options)

        @functools.wraps(function)
        def leased(*args: Any, **kwargs: Any) -> Any:
            if injection.is_passed(function, args, kwargs):
                return function(*args, **kwargs)
            job = get_current_job()
            try:
                with _lease_for(function, options, job, args, kwargs) as lease:
                    if injection.parameter is not None:
                        kwargs[injection.parameter] = lease
                    return _more_retries(function(*args, **kwargs), job)
            except _Rescheduled as rescheduled:
                return rescheduled.retry

        leased.__signature__ = visible_signature(function, injection)  # type: ignore[attr-defined]
        return leased  # type: ignore[return-value]

    return decorate


class _Rescheduled(Exception):
    """The job gives up its run before its body has started."""

    def __init__(self, retry: Retry) -> None:
        self.retry = retry


@contextmanager
def _lease_for(
    function: Callable[..., Any],
    options: TaskOptions,
    job: Job | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Iterator[Lease]:
    name = getattr(function, "__qualname__", repr(function))
    lease = options.lease(args, kwargs, f"{name}[{job.id}]" if job is not None else name)
    if job is not None and options.client is not None:
        warn_without_journal(options.client, f"the job {name}")
    with _sigterm_raises():
        try:
            try:
                lease.acquire()
            except NoAppIdAvailable as error:
                if job is None or options.on_exhausted != "reschedule":
                    raise
                raise _Rescheduled(_come_again(job, options, error)) from None
            if job is not None:
                _tell_holding(job, lease)
            yield lease
        finally:
            lease.release()


def _tell_holding(job: Job, lease: Lease) -> None:
    logger.info("job %s holds %s of %s", job.id, lease.appid, lease.product_name)
    job.meta.pop(_SINCE, None)  # should it wait once more, it does so anew; RQ goes on counting
    job.meta[META] = {
        "state": "acquired",
        "product": lease.product_name,
        "appid": lease.appid,
        "vid": lease.vid,
        "start_time": lease.start_time,
    }
    job.save_meta()  # type: ignore[no-untyped-call]


def _come_again(job: Job, options: TaskOptions, error: NoAppIdAvailable) -> Retry:
    """What the job returns to be run again later: it keeps its id, its dependents, and its retries for failures."""
    now = time.time()
    seconds = max(1, math.ceil(hop(error)))  # RQ knows whole seconds; 0 would mean at once
    since = float(job.meta.get(_SINCE) or now - error.waited)
    waits = int(job.meta.get(_WAITS, 0)) + 1
    if options.timeout is not None and now + seconds > since + options.timeout:
        raise error
    job.meta |= {
        _SINCE: since,
        _WAITS: waits,
        META: {
            "state": "waiting",
            "product": error.product_name,
            "available_at": error.available_at,
            "next_try": now + seconds,
        },
    }
    job.save_meta()  # type: ignore[no-untyped-call]
    logger.info(
        "job %s waits for an AppID of %s, again in %d s (wait %d): %s",
        job.id,
        error.product_name,
        seconds,
        waits,
        error,
    )
    if not job.connection.exists(RQScheduler.get_locking_key(job.origin)):
        logger.warning(
            "no scheduler runs for queue %r: job %s comes again only when a worker is started --with-scheduler",
            job.origin,
            job.id,
        )
    return Retry(max=_ENDLESS, interval=seconds)


def _more_retries(result: Any, job: Job | None) -> Any:
    """A `Retry` that the function itself returns: RQ counts our waits against its maximum, so raise it by them."""
    waits = 0 if job is None else int(job.meta.get(_WAITS, 0))
    if isinstance(result, Retry) and waits:
        result = copy.copy(result)
        result.max += waits
    return result


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Where SIGTERM would end this process on the spot, as in a work-horse, have it raise, so that blocks are left."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


class SweepingMixin(BaseWorker):
    """What makes a worker give back what its killed work-horses, and killed workers of this host before it, held.

    Put it before the worker's class: `class MyWorker(SweepingMixin, Worker)`.
    """

    def appid_clients(self) -> Iterable[AppIdClient]:
        """Whose journals are swept. Override it where jobs use clients other than the default one."""
        try:
            return [journaled_default_client()]
        except ConfigurationError as error:
            logger.warning("there is no default client to give back with: %s", error)
            return []

    def execute_job(self, job: Any, queue: Any) -> Any:
        """Run a job. However its work-horse ended, it is gone by then, and so are its locks on the journal."""
        try:
            return super().execute_job(job, queue)
        finally:
            sweep(self.appid_clients())

    def setup_work_horse_signals(self) -> None:
        """In the work-horse, before its job: SIGTERM leaves the job's blocks. Jobs with a plain `uses_appid`, too."""
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
        signal.signal(signal.SIGTERM, _end)
        self.appid_clients()

    def bootstrap(self, *args: Any, **kwargs: Any) -> Any:
        """Start; also gives back what a worker held that was killed."""
        result = super().bootstrap(*args, **kwargs)
        sweep(self.appid_clients())
        return result

    def run_maintenance_tasks(self) -> Any:
        """From time to time; other workers of this host may have been killed."""
        result = super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        sweep(self.appid_clients())
        return result


class AppIdWorker(SweepingMixin, Worker):
    """`rq worker -w appid_manager_client.integrations.rq.AppIdWorker`"""


class AppIdSpawnWorker(SweepingMixin, SpawnWorker):
    """`rq worker -w appid_manager_client.integrations.rq.AppIdSpawnWorker`"""

    def fork_work_horse(self, job: Any, queue: Any) -> Any:
        """Start the work-horse. Before RQ 3 it is of RQ's own class, so that only its environment knows the journal."""
        for client in self.appid_clients():
            if client is get_default_client() and client.journal is not None:
                os.environ.setdefault(JOURNAL_VARIABLE, str(client.journal))
        return super().fork_work_horse(job, queue)


class AppIdSimpleWorker(SweepingMixin, SimpleWorker):
    """`rq worker -w appid_manager_client.integrations.rq.AppIdSimpleWorker`: jobs run in the worker itself."""

"""Leases for RQ jobs: the decorator `appid_job`, and workers that sweep after each job.

The lease is acquired and released around the function, in the work-horse. Callbacks and exception
handlers decide nothing, as a killed work-horse calls none. The worker sweeps after each job, when
the work-horse is certainly gone.
"""

from __future__ import annotations

import copy
import functools
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from appid_manager_client import AppIdClient, ConfigurationError, Lease, NoAppIdAvailable
from appid_manager_client.decorator.injection import visible_signature
from appid_manager_client.runtime.signals import exit_on, sigterm_raises
from appid_manager_client.text import get_logger

from ._journal import default_clients, export_journal, sweep, warn_without_journal
from ._options import TaskOptions, injection_into, takes
from ._rescheduling import COME_BACK, SINCE, TICKET, WAITS, Hop, Standing

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

logger = get_logger("rq.worker.appid")

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

META = "appid"
"""The key in `job.meta` for the AppID that a job holds, held, or waits for."""

_UNLIMITED = 10**9


@takes(TaskOptions)
def appid_job(options: TaskOptions) -> Callable[[FunctionT], FunctionT]:
    """Have every run of a job's function hold an AppID of its own.

        @appid_job("stt_billing")
        def transcribe(path: str, *, lease: Lease = INJECTED) -> str:
            ...

        queue.enqueue(transcribe, "call.wav")

    The AppID is released however the job ends. `job.meta["appid"]` says which one it has, or what
    it waits for. Rescheduling needs a worker `--with-scheduler`. Waiting in the work-horse ends
    with the job's own timeout. Called outside of a job, the function gets a lease too, but raises
    instead of being rescheduled.

    Raises:
        ValueError, TypeError: an option, or the function, can't be used; the message names it.
    """

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
                    return _raise_maximum(function(*args, **kwargs), job)
            except _Rescheduled as rescheduled:
                return rescheduled.retry

        setattr(leased, "__signature__", visible_signature(function, injection))
        return cast(FunctionT, leased)

    return decorate


class _Rescheduled(Exception):
    """The job ends this run before its body has started, and runs again later."""

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
    standing = None
    if job is not None and options.on_exhausted == "reschedule":
        standing = Standing.of(job.meta)
    lease = options.lease(args, kwargs, name if job is None else f"{name}[{job.id}]", standing)
    if job is not None and options.client is not None:
        warn_without_journal(options.client, f"the job {name}")
    # In a work-horse SIGTERM would end the process without leaving the block.
    with sigterm_raises():
        try:
            try:
                lease.acquire()
            except NoAppIdAvailable as error:
                if job is None or standing is None:
                    raise
                raise _Rescheduled(_reschedule(job, options, error)) from None
            if job is not None:
                _note_acquired(job, lease)
            yield lease
        finally:
            lease.release()


def _note_acquired(job: Job, lease: Lease) -> None:
    logger.info("job %s holds %s of %s", job.id, lease.appid, lease.product_name)
    # If it has to wait once more, those waits have a beginning of their own. RQ goes on counting.
    for key in (SINCE, TICKET, COME_BACK):
        job.meta.pop(key, None)
    job.meta[META] = {
        "state": "acquired",
        "product": lease.product_name,
        "appid": lease.appid,
        "vid": lease.vid,
        "start_time": lease.start_time,
    }
    job.save_meta()  # type: ignore[no-untyped-call]


def _reschedule(job: Job, options: TaskOptions, error: NoAppIdAvailable) -> Retry:
    """Returns what the job has to return so that RQ runs it again later.

    The job keeps its id, its dependents, and its retries for failures.

    Raises:
        NoAppIdAvailable: `error`, where the wait would end after the job's `timeout=`.
    """
    try:
        hop = Hop.after(error, job.meta, options.timeout, whole_seconds=True)
    except NoAppIdAvailable:
        options.leave_line(error)
        raise
    job.meta |= hop.carry()
    job.meta[META] = {
        "state": "waiting",
        "product": error.product_name,
        "available_at": error.available_at,
        "next_try": hop.next_try,
        **hop.in_line(),
    }
    job.save_meta()  # type: ignore[no-untyped-call]
    logger.info(
        "job %s waits for an AppID of %s, runs again in %d s (wait %d): %s",
        job.id,
        error.product_name,
        hop.seconds,
        hop.count,
        error,
    )
    if not job.connection.exists(RQScheduler.get_locking_key(job.origin)):
        logger.warning(
            "no scheduler runs for queue %r: job %s runs again only after a worker was started "
            "--with-scheduler",
            job.origin,
            job.id,
        )
    return Retry(max=_UNLIMITED, interval=int(hop.seconds))


def _raise_maximum(result: Any, job: Job | None) -> Any:
    """Raise the maximum of a `Retry` that the function returns by the job's waits.

    RQ counts them as retries, against the function's own maximum.
    """
    waits = 0 if job is None else int(job.meta.get(WAITS, 0))
    if isinstance(result, Retry) and waits:
        result = copy.copy(result)
        result.max += waits
    return result


class SweepingMixin(BaseWorker):
    """Makes a worker release what killed work-horses, and killed workers of this host, held.

    Put it before the worker's class: `class MyWorker(SweepingMixin, Worker)`.
    """

    def appid_clients(self) -> Iterable[AppIdClient]:
        """The clients whose journals are swept.

        Override it where jobs use other clients than the default one.
        """
        return default_clients(logger)

    def execute_job(self, job: Any, queue: Any) -> Any:
        """Run a job. Afterwards its work-horse is gone, and the locks of its leases are free."""
        try:
            return super().execute_job(job, queue)
        finally:
            sweep(self.appid_clients())

    def setup_work_horse_signals(self) -> None:
        """In the work-horse, before its job: let SIGTERM raise, and turn the journal on.

        Jobs with a plain `uses_appid` have both then.
        """
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
        exit_on(signal.SIGTERM)
        self.appid_clients()

    def bootstrap(self, *args: Any, **kwargs: Any) -> Any:
        """Start the worker, and release what a killed one before it held."""
        result = super().bootstrap(*args, **kwargs)
        sweep(self.appid_clients())
        return result

    def run_maintenance_tasks(self) -> Any:
        """Sweep from time to time: other workers of this host may have been killed."""
        result = super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        sweep(self.appid_clients())
        return result


class AppIdWorker(SweepingMixin, Worker):
    """`rq worker -w appid_manager_client.integrations.rq.AppIdWorker`"""


class AppIdSpawnWorker(SweepingMixin, SpawnWorker):
    """`rq worker -w appid_manager_client.integrations.rq.AppIdSpawnWorker`"""

    def fork_work_horse(self, job: Any, queue: Any) -> Any:
        """Start the work-horse.

        Before RQ 3 it is of RQ's own class, and learns of the journal only from its environment.
        """
        export_journal(self.appid_clients())
        return super().fork_work_horse(job, queue)


class AppIdSimpleWorker(SweepingMixin, SimpleWorker):
    """Jobs run in the worker itself.

    `rq worker -w appid_manager_client.integrations.rq.AppIdSimpleWorker`
    """

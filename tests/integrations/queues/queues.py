"""Celery and RQ with one face: start a worker of a kind, send it a task, see what becomes of it."""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis
from appid_manager_client.integrations.celery import WAITING_FOR_APPID
from celery import Celery
from celery.states import READY_STATES
from rq import Queue
from rq.job import Job, JobStatus

from tests.support.waiting import wait_until

from .brokers import Broker
from .workers import WorkerProcess, running_worker

CELERY = ("prefork", "spawn", "threads", "solo", "gevent")
"""Kinds of Celery workers: its pools. "spawn" is prefork whose children are fresh interpreters."""

RQ_CLASSES = {
    "rq": "AppIdWorker",
    "rq-spawn": "AppIdSpawnWorker",
    "rq-simple": "AppIdSimpleWorker",
    "rq-scheduler": "AppIdWorker",
    "pool": "AppIdWorker",
    "pool-spawn": "AppIdSpawnWorker",
    "pool-simple": "AppIdSimpleWorker",
}
"""Kinds of RQ workers, and their classes. A "pool" is an `rq worker-pool`, with a scheduler."""

APP = "tests.integrations.queues.celery_app"
JOBS = "tests.integrations.queues.rq_jobs"

_count = itertools.count()


class TaskFailed(Exception):
    """A task has failed. Celery's backend brings the error itself, RQ the text of its traceback."""

    def __init__(self, error: Exception | str) -> None:
        super().__init__(error if isinstance(error, str) else repr(error))
        self.error = error

    def is_a(self, kind: type[Exception]) -> bool:
        if isinstance(self.error, str):
            return (
                re.search(rf"^{kind.__module__}\.{kind.__name__}: ", self.error, re.M) is not None
            )
        return isinstance(self.error, kind)


class Sent(ABC):
    """A task or job that was sent. It is looked up whenever it is asked."""

    id: str

    @abstractmethod
    def ended(self) -> bool: ...

    @abstractmethod
    def outcome(self) -> Any:
        """What an ended task returned. Raises `TaskFailed` where it failed."""

    @abstractmethod
    def waits_for(self) -> dict[str, Any] | None:
        """What the task tells about its wait, while it waits."""

    def result(self) -> Any:
        """Wait for the end of the task; see `outcome`."""
        wait_until(self.ended, what=f"the task {self.id} ends")
        return self.outcome()


class QueueWorker(ABC):
    """A real worker with a queue of its own."""

    def __init__(self, kind: str, process: WorkerProcess) -> None:
        self.kind = kind
        self.process = process

    @abstractmethod
    def send(self, task: str, *args: Any, **options: Any) -> Sent: ...


class SentTask(Sent):
    """A Celery task. An `AsyncResult` would subscribe to its result, and outlive its test."""

    def __init__(self, results: Celery, task_id: str) -> None:
        self.id = task_id
        self._results = results

    @property
    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = self._results.backend.get_task_meta(self.id)
        return meta

    @property
    def state(self) -> str:
        return str(self.meta["status"])

    def ended(self) -> bool:
        return self.state in READY_STATES

    def outcome(self) -> Any:
        result = self.meta["result"]
        if isinstance(result, Exception):
            raise TaskFailed(result) from result
        return result

    def waits_for(self) -> dict[str, Any] | None:
        meta = self.meta
        return meta["result"] if meta["status"] == WAITING_FOR_APPID else None


class CeleryWorker(QueueWorker):
    """A worker of the tests' app."""

    def __init__(
        self, kind: str, queue: str, client: Celery, results: Celery, process: WorkerProcess
    ) -> None:
        super().__init__(kind, process)
        self._queue = queue
        self._client = client
        self._results = results

    def send(self, task: str, *args: Any, **options: Any) -> SentTask:
        sent = self._client.send_task(f"{APP}.{task}", args, queue=self._queue, **options)
        return self.look_up(sent.id)

    def signature(self, task: str, *args: Any, **options: Any) -> Any:
        return self._client.signature(f"{APP}.{task}", args, queue=self._queue, **options)

    def look_up(self, task_id: str) -> SentTask:
        return SentTask(self._results, task_id)

    def revoke(self, task: Sent, number: str) -> None:
        node = [f"{self._queue}@test"]
        # A new worker may take tasks before it listens to broadcasts, which nobody keeps for it.
        wait_until(
            lambda: self._client.control.ping(destination=node, timeout=0.5),
            what="the worker listens to remote control",
        )
        self._client.control.revoke(task.id, terminate=True, signal=number, destination=node)


class SentJob(Sent):
    """An RQ job."""

    def __init__(self, job: Job) -> None:
        self.id = job.id
        self.job = job

    def ended(self) -> bool:
        return self.job.get_status() in {JobStatus.FINISHED, JobStatus.FAILED}

    def outcome(self) -> Any:
        if self.job.get_status() is JobStatus.FAILED:
            result = wait_until(self.job.latest_result, what="the result")
            raise TaskFailed(str(result.exc_string if result else result))
        return self.job.return_value()

    @property
    def meta(self) -> dict[str, Any]:
        """What the library notes in the job's meta."""
        meta: dict[str, Any] = self.job.get_meta(refresh=True).get("appid", {})
        return meta

    def waits_for(self) -> dict[str, Any] | None:
        return self.meta if self.meta.get("state") == "waiting" else None


class RqWorker(QueueWorker):
    """A worker, or a worker pool, of RQ."""

    def __init__(
        self, kind: str, queue: str, connection: redis.Redis, process: WorkerProcess
    ) -> None:
        super().__init__(kind, process)
        self.connection = connection
        self._queue = Queue(queue, connection=connection)

    def send(self, task: str, *args: Any, **options: Any) -> SentJob:
        return SentJob(self._queue.enqueue(f"{JOBS}.{task}", *args, **options))


class Workers:
    """Starts workers of every kind, and keeps those that tests share."""

    def __init__(self, broker: Broker, directory: Path, environment: dict[str, str]) -> None:
        self._celery_url, self._rq_url = broker.celery_url(1), broker.redis_url(2)
        self._environment = {**environment, "BROKER": self._celery_url}
        self._directory = directory
        self._stack = ExitStack()
        self._shared: dict[str, QueueWorker] = {}
        self.started: list[WorkerProcess] = []
        self._client = Celery("client", broker=self._celery_url, set_as_current=False)
        self._results = Celery(
            "results", broker=self._celery_url, backend=self._celery_url, set_as_current=False
        )
        self._connection = redis.Redis.from_url(self._rq_url, socket_timeout=None)
        self._messages = redis.Redis.from_url(broker.redis_url(1), socket_timeout=None)
        for closes in (self._client, self._results, self._connection, self._messages):
            self._stack.callback(closes.close)

    def close(self) -> None:
        self._stack.close()

    def shared(self, kind: str) -> QueueWorker:
        """One worker of the kind for all tests that leave it alive, started when first needed."""
        if kind not in self._shared:
            self._shared[kind] = self.start(self._stack, kind)
        return self._shared[kind]

    def start(
        self,
        stack: ExitStack,
        kind: str,
        *options: str,
        state: Path | None = None,
        **environment: str,
    ) -> QueueWorker:
        """Start a worker that ends with `stack`.

        Args:
            stack: ends the worker.
            kind: one of `CELERY` or `RQ_CLASSES`.
            options: for its command line.
            state: the directory of its journal, for workers that share one.
            environment: more variables.
        """
        queue = f"{kind}{next(_count)}"
        directory = self._directory / queue
        state = state or directory / "state"
        homes = {"HOME": str(state), "XDG_STATE_HOME": str(state)}
        start_method = {"POOL_START_METHOD": "spawn"} if kind == "spawn" else {}
        command = self._celery_command if kind in CELERY else self._rq_command
        process = stack.enter_context(
            running_worker(
                [*command(kind, queue, directory), *options],
                directory,
                {**self._environment, **homes, **start_method, "QUEUE": queue, **environment},
            )
        )
        self.started.append(process)
        if kind in CELERY:
            return CeleryWorker(kind, queue, self._client, self._results, process)
        return RqWorker(kind, queue, self._connection, process)

    def unacknowledged(self, task_id: str) -> list[bytes]:
        """The messages of a Celery task that the broker would deliver again."""
        kept: list[Any] = self._messages.hvals("unacked")
        return [message for message in kept if task_id.encode() in message]

    def _celery_command(self, kind: str, queue: str, directory: Path) -> list[str]:
        # fmt: off
        return [
            "celery", "-A", f"{APP}:app", "worker", "-P", "prefork" if kind == "spawn" else kind,
            "-c", "2", "-l", "INFO", "-n", f"{queue}@test", "-Q", queue,
            "-s", str(directory / "schedule"),
            "--without-mingle", "--without-gossip", "--without-heartbeat",
        ]
        # fmt: on

    def _rq_command(self, kind: str, queue: str, directory: Path) -> list[str]:
        # fmt: off
        command = [
            "rq.cli", "worker-pool" if kind.startswith("pool") else "worker",
            "-u", self._rq_url, "-c", "tests.integrations.queues.rq_settings",
            "-w", f"appid_manager_client.integrations.rq.{RQ_CLASSES[kind]}", queue,
        ]
        # fmt: on
        return [*command, "--with-scheduler"] if kind == "rq-scheduler" else command

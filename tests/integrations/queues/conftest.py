"""What the tests of task queues share: one broker, one service, one worker for each pool, started when first needed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.states import READY_STATES
from rq import Queue
from rq.job import Job

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

from .brokers import Broker, running_broker
from .workers import Conversation, WorkerProcess, running_worker, worker_environment

APP = "tests.integrations.queues.celery_app"

_count = itertools.count()

SHORT_HOUR = 4
"""Seconds in the hours of the service that makes tasks wait."""


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    with running_broker() as running:
        yield running


@pytest.fixture(scope="session")
def service() -> Iterator[LocalService]:
    with LocalService() as running:
        yield running


@pytest.fixture(scope="session")
def short_service() -> Iterator[LocalService]:
    with LocalService(hour_seconds=SHORT_HOUR) as running:
        yield running


@pytest.fixture(scope="session")
def guarded_service() -> Iterator[LocalService]:
    with LocalService(auth_token="right") as running:
        yield running


NewProduct = Callable[..., str]


@pytest.fixture(scope="session")
def new_product() -> NewProduct:
    """Makes a product that no other test knows, with as many AppIDs as asked for."""

    def new(service: LocalService, appids: int = 1) -> str:
        name = f"product{next(_count)}"
        with AppIdClient(service.url, auth_token=service.auth_token) as client:
            client.init_product(name, {f"{name}-{n}": n for n in range(appids)})
        return name

    return new


class Sent:
    """A task that was sent. Looked up when asked, unlike an `AsyncResult`, which subscribes and outlives its test."""

    def __init__(self, results: Celery, task_id: str) -> None:
        self.id = task_id
        self._results = results

    @property
    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = self._results.backend.get_task_meta(self.id)
        return meta

    @property
    def state(self) -> str:
        state: str = self.meta["status"]
        return state

    def get(self) -> Any:
        """What the task returned; raises what it raised."""
        wait_until(lambda: self.state in READY_STATES, what=f"the task {self.id} ends")
        meta = self.meta
        if isinstance(meta["result"], Exception):
            raise meta["result"]
        return meta["result"]


class CeleryWorker:
    """A real worker of the tests' app with a queue of its own, and how a test talks to it."""

    def __init__(
        self, pool: str, queue: str, client: Celery, results: Celery, process: WorkerProcess
    ) -> None:
        self.pool = pool
        self.process = process
        self._queue = queue
        self._client = client
        self._results = results

    def send(self, task: str, *args: Any, **options: Any) -> Sent:
        sent = self._client.send_task(f"{APP}.{task}", args, queue=self._queue, **options)
        return Sent(self._results, sent.id)

    def signature(self, task: str, *args: Any, **options: Any) -> Any:
        made = self._client.signature(f"{APP}.{task}", args, queue=self._queue, **options)
        return made

    def look_up(self, task_id: str) -> Sent:
        return Sent(self._results, task_id)

    def revoke(self, task: Sent, number: str) -> None:
        node = [f"{self._queue}@test"]
        # A worker that has just started may take tasks before it listens to broadcasts, which nobody keeps for it.
        wait_until(
            lambda: self._client.control.ping(destination=node, timeout=0.5),
            what="the worker listens to remote control",
        )
        self._client.control.revoke(task.id, terminate=True, signal=number, destination=node)


class CeleryWorkers:
    """Starts workers; what they were started with can be started again on the same journal."""

    def __init__(self, broker: Broker, directory: Path, environment: dict[str, str]) -> None:
        self._broker = broker
        self._messages = redis.Redis.from_url(broker.redis_url(1), socket_timeout=None)
        self._directory = directory
        self._environment = environment
        self.started: list[WorkerProcess] = []
        self.client = Celery("client", broker=broker.celery_url(1), set_as_current=False)
        self.results = Celery(
            "results",
            broker=broker.celery_url(1),
            backend=broker.celery_url(1),
            set_as_current=False,
        )

    def close(self) -> None:
        self.client.close()
        self.results.close()
        self._messages.close()

    def unacknowledged(self, task_id: str) -> list[bytes]:
        """The messages of a task that the broker would deliver again."""
        kept = self._messages.hgetall("unacked").values()
        return [message for message in kept if task_id.encode() in message]

    def start(
        self,
        stack: ExitStack,
        pool: str,
        *options: str,
        state: Path | None = None,
        url: str | None = None,
        scheduled: str | None = None,
    ) -> CeleryWorker:
        queue = f"{pool}{next(_count)}"
        directory = self._directory / queue
        state = state or directory / "state"
        environment = {**self._environment, "HOME": str(state), "XDG_STATE_HOME": str(state)}
        if url is not None:
            environment["APPID_MANAGER_URL"] = url
        if pool == "spawn":  # prefork, whose children are fresh interpreters
            environment["POOL_START_METHOD"] = "spawn"
        if scheduled is not None:
            environment |= {"SCHEDULED": scheduled, "SCHEDULED_TO": queue}
            options += ("-s", str(directory / "schedule"))
        # fmt: off
        command = [
            "celery", "-A", f"{APP}:app", "worker", "-P", "prefork" if pool == "spawn" else pool, "-c", "2",
            "-l", "INFO", "-n", f"{queue}@test", "-Q", queue, "--without-mingle", "--without-gossip",
            "--without-heartbeat", *options,
        ]
        # fmt: on
        process = stack.enter_context(running_worker(command, directory, environment))
        self.started.append(process)
        return CeleryWorker(pool, queue, self.client, self.results, process)


@pytest.fixture(scope="session")
def celery_workers(
    broker: Broker,
    tmp_path_factory: pytest.TempPathFactory,
    service: LocalService,
    short_service: LocalService,
    guarded_service: LocalService,
) -> Iterator[CeleryWorkers]:
    environment = worker_environment(
        service,
        tmp_path_factory.mktemp("nobody"),
        BROKER=broker.celery_url(1),
        WORDS=broker.redis_url(0),
        SHORT_HOURS=short_service.url,
        GUARDED=guarded_service.url,
    )
    workers = CeleryWorkers(broker, tmp_path_factory.mktemp("celery"), environment)
    yield workers
    workers.close()


@pytest.fixture(scope="session")
def prefork_worker(celery_workers: CeleryWorkers) -> Iterator[CeleryWorker]:
    with ExitStack() as stack:
        yield celery_workers.start(stack, "prefork")


@pytest.fixture(scope="session")
def spawn_worker(celery_workers: CeleryWorkers) -> Iterator[CeleryWorker]:
    with ExitStack() as stack:
        yield celery_workers.start(stack, "spawn")


@pytest.fixture(scope="session")
def threads_worker(celery_workers: CeleryWorkers) -> Iterator[CeleryWorker]:
    with ExitStack() as stack:
        yield celery_workers.start(stack, "threads")


@pytest.fixture(scope="session")
def solo_worker(celery_workers: CeleryWorkers) -> Iterator[CeleryWorker]:
    with ExitStack() as stack:
        yield celery_workers.start(stack, "solo")


@pytest.fixture(scope="session")
def gevent_worker(celery_workers: CeleryWorkers) -> Iterator[CeleryWorker]:
    with ExitStack() as stack:
        yield celery_workers.start(stack, "gevent")


@pytest.fixture(scope="session", params=["prefork", "spawn", "threads", "solo", "gevent"])
def any_worker(request: pytest.FixtureRequest) -> CeleryWorker:
    """One worker for each pool, for tests that leave it alive."""
    worker: CeleryWorker = request.getfixturevalue(f"{request.param}_worker")
    return worker


class RqWorker:
    """A real RQ worker with a queue of its own, and how a test talks to it."""

    def __init__(
        self, kind: str, queue: str, connection: redis.Redis, process: WorkerProcess
    ) -> None:
        self.kind = kind
        self.process = process
        self.connection = connection
        self._queue = Queue(queue, connection=connection)

    def send(self, job: str, *args: Any, **options: Any) -> Job:
        return self._queue.enqueue(f"tests.integrations.queues.rq_jobs.{job}", *args, **options)


class RqWorkers:
    """Starts workers; what they were started with can be started again on the same journal."""

    def __init__(self, broker: Broker, directory: Path, environment: dict[str, str]) -> None:
        self.connection = redis.Redis.from_url(broker.redis_url(2), socket_timeout=None)
        self.started: list[WorkerProcess] = []
        self._url = broker.redis_url(2)
        self._directory = directory
        self._environment = environment

    def start(
        self,
        stack: ExitStack,
        kind: str,
        *options: str,
        state: Path | None = None,
        url: str | None = None,
        command: str = "worker",
    ) -> RqWorker:
        queue = f"{kind}{next(_count)}"
        directory = self._directory / queue
        state = state or directory / "state"
        environment = {**self._environment, "HOME": str(state), "XDG_STATE_HOME": str(state)}
        if url is not None:
            environment["APPID_MANAGER_URL"] = url
        worker_class = f"appid_manager_client.integrations.rq.{kind}"
        words = ["rq.cli", command, "-u", self._url, "-w", worker_class, *options, queue]
        process = stack.enter_context(running_worker(words, directory, environment))
        self.started.append(process)
        return RqWorker(kind, queue, self.connection, process)


@pytest.fixture(scope="session")
def rq_workers(
    broker: Broker,
    tmp_path_factory: pytest.TempPathFactory,
    service: LocalService,
    short_service: LocalService,
    guarded_service: LocalService,
) -> Iterator[RqWorkers]:
    environment = worker_environment(
        service,
        tmp_path_factory.mktemp("nobody"),
        WORDS=broker.redis_url(0),
        SHORT_HOURS=short_service.url,
        GUARDED=guarded_service.url,
    )
    workers = RqWorkers(broker, tmp_path_factory.mktemp("rq"), environment)
    yield workers
    workers.connection.close()


@pytest.fixture(scope="session", params=["AppIdWorker", "AppIdSpawnWorker", "AppIdSimpleWorker"])
def any_rq_worker(request: pytest.FixtureRequest, rq_workers: RqWorkers) -> Iterator[RqWorker]:
    """One worker of each class, for tests that leave it alive."""
    with ExitStack() as stack:
        yield rq_workers.start(stack, request.param)


@pytest.fixture(scope="session")
def scheduling_worker(rq_workers: RqWorkers) -> Iterator[RqWorker]:
    with ExitStack() as stack:
        yield rq_workers.start(stack, "AppIdWorker", "--with-scheduler")


@pytest.fixture
def talk(broker: Broker) -> Callable[[str], Conversation]:
    """Begins a conversation with the body of a task; its token starts with the task's product."""

    def begin(product: str) -> Conversation:
        return Conversation(broker.redis, f"{product}:{next(_count)}")

    return begin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the workers that were started last had to say."""
    report = yield
    if report.failed:
        for name in ("celery_workers", "rq_workers"):
            workers = getattr(item, "funcargs", {}).get(name)
            for worker in [] if workers is None else workers.started[-5:]:
                report.sections.append((f"log of {worker.log.parent.name}", worker.tail()))
    return report

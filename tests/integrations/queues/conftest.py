"""What the tests of task queues share: one broker, three services, and the workers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack

import pytest
from celery import Celery

from appid_manager_client import AppIdClient, set_default_client
from appid_manager_client.testing import LocalService

from .brokers import Broker, running_broker
from .queues import QueueWorker, Workers
from .scenes import Scene, Scenes, new_product
from .workers import worker_environment

SHORT_HOUR = 4
"""Seconds in the hours of the service that makes tasks wait."""

LINE_HOUR = 60
"""Those of the service in whose line they stand: tasks check in from 12 to 8 s before the turn."""


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
def line_service() -> Iterator[LocalService]:
    with LocalService(hour_seconds=LINE_HOUR) as running:
        yield running


@pytest.fixture(scope="session")
def guarded_service() -> Iterator[LocalService]:
    with LocalService(auth_token="right") as running:
        yield running


@pytest.fixture(scope="session")
def workers(
    broker: Broker,
    tmp_path_factory: pytest.TempPathFactory,
    service: LocalService,
    short_service: LocalService,
    line_service: LocalService,
    guarded_service: LocalService,
) -> Iterator[Workers]:
    environment = worker_environment(
        service,
        tmp_path_factory.mktemp("nobody"),
        WORDS=broker.redis_url(0),
        SHORT_HOURS=short_service.url,
        LINE_HOURS=line_service.url,
        GUARDED=guarded_service.url,
    )
    workers = Workers(broker, tmp_path_factory.mktemp("workers"), environment)
    yield workers
    workers.close()


@pytest.fixture(scope="session")
def worker(request: pytest.FixtureRequest, workers: Workers) -> QueueWorker:
    """The worker that tests share, of the kind that is the parameter; see `on`."""
    return workers.shared(request.param)


@pytest.fixture
def scenes(workers: Workers, broker: Broker, service: LocalService) -> Iterator[Scenes]:
    with ExitStack() as stack:
        yield Scenes(stack, workers, broker.redis, service)


@pytest.fixture
def scene(worker: QueueWorker, scenes: Scenes) -> Scene:
    """One in the worker that is the parameter."""
    return scenes.open(worker)


@pytest.fixture
def short_scene(worker: QueueWorker, scenes: Scenes, short_service: LocalService) -> Scene:
    """The same, where tasks have to wait for the hour to turn."""
    return scenes.open(worker, service=short_service)


# --- for tests without workers


@pytest.fixture
def app() -> Iterator[Celery]:
    made = Celery("unit", broker="memory://", backend="cache+memory://", set_as_current=False)
    yield made
    made.close()


@pytest.fixture
def client(service: LocalService) -> Iterator[AppIdClient]:
    with AppIdClient(service.url) as made:
        set_default_client(made)
        yield made
        set_default_client(None)


@pytest.fixture
def product(service: LocalService) -> str:
    return new_product(service)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the workers that were started last had to say."""
    report = yield
    workers = getattr(item, "funcargs", {}).get("workers")
    if report.failed and workers is not None:
        for worker in workers.started[-5:]:
            report.sections.append((f"log of {worker.log.parent.name}", worker.tail()))
    return report

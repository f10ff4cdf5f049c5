"""A scene: one task of one worker that holds an AppID of a product of its own.

The tests of all kinds of workers are told with it: begin a task, say how it ends, see that the
AppID is released, and by whom.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import redis

from appid_manager_client import AppIdClient, Lease
from appid_manager_client.testing import LocalService
from tests.support.field import FieldService
from tests.support.waiting import wait_until

from .conversation import Conversation
from .queues import QueueWorker, Sent, Workers

_count = itertools.count()


def new_product(service: LocalService | FieldService, appids: int = 1) -> str:
    """Make a product that no other test knows. Its AppIDs are numbered from 0."""
    name = f"product{next(_count)}"
    with AppIdClient(service.url, auth_token=service.auth_token) as client:
        client.init_product(name, {f"{name}-{n}": n for n in range(appids)})
    return name


def appids_in_use(service: LocalService | FieldService, product: str) -> list[str]:
    if isinstance(service, FieldService):
        return service.in_use(product)
    entries = service.status(product)["appids"]
    return [entry["appid"] for entry in entries if entry["status"] == "in_use"]


def token_of(product: str) -> str:
    """What a scene's tasks get as their argument; `bodies.product_of` takes it apart."""
    return f"{product}:token"


class Scene(Conversation):
    """A conversation with the tasks of one test, and what the service says about their AppIDs.

    Attributes:
        sent: the task that was sent last.
        facts: what the body announced that began last.
    """

    sent: Sent
    facts: dict[str, Any]

    def __init__(
        self,
        connection: redis.Redis,
        worker: QueueWorker,
        service: LocalService | FieldService,
        product: str,
    ) -> None:
        super().__init__(connection, token_of(product))
        self.product = product
        self.worker = worker
        self.service = service

    def send(self, task: str, **options: Any) -> Any:
        """Send a task. Returns a `SentTask` or a `SentJob`."""
        self.sent = self.worker.send(task, self.token, **options)
        return self.sent

    def begin(self, task: str = "hold", **options: Any) -> Any:
        """Send a task, and wait until its body holds an AppID."""
        sent = self.send(task, **options)
        self.facts = self.started()
        return sent

    @property
    def in_use(self) -> list[str]:
        return appids_in_use(self.service, self.product)

    @property
    def swept(self) -> bool:
        """Whether a sweep of the worker has released an AppID of the product."""
        log = self.worker.process.log.read_text(errors="replace")
        return re.search(rf"\b{self.product}\b.*dead process", log) is not None

    def wait_until_released(self) -> None:
        wait_until(lambda: not self.in_use, what="the AppID is released")

    @contextmanager
    def exhausted(self) -> Iterator[Lease]:
        """Hold the product's only AppID, so that nothing is free whatever hour it is."""
        with AppIdClient(self.service.url) as client, client.lease(self.product) as lease:
            yield lease

    def hour_of(self, moment_ms: int) -> int:
        """The number of the hour that a moment lies in, where all hours are equally short."""
        assert isinstance(self.service, LocalService)
        hour = self.service.hour
        return moment_ms // (hour.end - hour.start)


def on(*kinds: str) -> pytest.MarkDecorator:
    """Run a test on the workers of these kinds that tests share: its argument `worker`."""
    return pytest.mark.parametrize("worker", kinds, indirect=True)


class Scenes:
    """Opens the scenes of one test; workers that it starts end with the test."""

    def __init__(
        self, stack: ExitStack, workers: Workers, connection: redis.Redis, service: LocalService
    ) -> None:
        self._stack = stack
        self._workers = workers
        self._connection = connection
        self._service = service

    def open(
        self,
        worker: QueueWorker,
        appids: int = 1,
        service: LocalService | FieldService | None = None,
    ) -> Scene:
        """Open a scene in a worker. `service`: where its product is, if not at the workers' own."""
        service = service or self._service
        product = new_product(service, appids)
        return Scene(self._connection, worker, service, product)

    def start(self, kind: str, *options: str, appids: int = 1, **more: Any) -> Scene:
        """Open a scene in a worker that is started for it; `more` are options of `Workers.start`.

        The worker finds the scene's token in its environment, as `SCENE`.
        """
        product = new_product(self._service, appids)
        worker = self._workers.start(self._stack, kind, *options, SCENE=token_of(product), **more)
        return Scene(self._connection, worker, self._service, product)

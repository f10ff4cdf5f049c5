"""When every AppID is taken: tasks come again in the next hour, wait, or fail, as they were told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from appid_manager_client.integrations.celery import WAITING_FOR_APPID
from celery.states import PENDING

from appid_manager_client import (
    AppIdClient,
    AuthenticationError,
    Lease,
    NoAppIdAvailable,
    ProductNotFound,
)
from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

from .conftest import APP, CeleryWorker, CeleryWorkers, NewProduct
from .workers import Conversation, hour_of, in_use

Talk = Callable[[str], Conversation]


@contextmanager
def taken(service: LocalService, product: str) -> Iterator[Lease]:
    """Hold the product's only AppID, so that nothing is free whatever hour it is."""
    with AppIdClient(service.url) as client, client.lease(product) as lease:
        yield lease


def test_a_task_comes_again_in_the_next_hour_in_every_pool(
    prefork_worker: CeleryWorker,
    spawn_worker: CeleryWorker,
    threads_worker: CeleryWorker,
    solo_worker: CeleryWorker,
    gevent_worker: CeleryWorker,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    begun = []
    for worker in (prefork_worker, spawn_worker, threads_worker, solo_worker, gevent_worker):
        product = new_product(short_service)
        conversation = talk(product)
        for _ in range(2):
            conversation.say("return")
        results = [worker.send("waits", conversation.token) for _ in range(2)]
        begun.append((conversation, results))
    for conversation, results in begun:
        first, second = sorted((r.get() for r in results), key=lambda held: held["start"])
        assert first["appid"] == second["appid"]
        assert hour_of(short_service, first["start"]) < hour_of(short_service, second["start"])
        assert {first["id"], second["id"]} == {result.id for result in results}
        announced = [conversation.started(), conversation.started()]
        assert [entry["retries"] for entry in announced] == [0, 0]
        assert [entry["waiting"] for entry in announced] == [[], []]  # a retry starts anew
        assert not conversation.starts_left


def test_a_waiting_task_tells_its_product_and_when_it_comes_again(
    prefork_worker: CeleryWorker,
    celery_workers: CeleryWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    conversation = talk(product)
    with taken(short_service, product):
        result = prefork_worker.send("waits", conversation.token)
        wait_until(lambda: result.state == WAITING_FOR_APPID, what="the task's state")
        meta = result.meta["result"]
    assert meta["product"] == product
    assert meta["waits"] >= 1
    assert meta["waiting_since"] < meta["next_try"]
    prefork_worker.process.wait_for_log(f"waits for an AppID of {product}")
    conversation.say("return")
    assert result.get()["id"] == result.id


def test_waiting_uses_up_none_of_the_tasks_own_retries(
    any_worker: CeleryWorker,
    celery_workers: CeleryWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    conversation = talk(product)
    result = any_worker.send("waits", conversation.token)
    assert conversation.started()["retries"] == 0
    conversation.say("retry")  # the one that the task has; it finds the AppID used up
    assert conversation.started()["retries"] == 1
    conversation.say("return")
    assert result.get()["id"] == result.id


def test_a_task_whose_result_nobody_wants_leaves_none_after_it_waited(
    prefork_worker: CeleryWorker,
    celery_workers: CeleryWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    conversation = talk(product)
    with taken(short_service, product):
        task = prefork_worker.send("waits", conversation.token, ignore_result=True)
        prefork_worker.process.wait_for_log(f"waits for an AppID of {product}")
    conversation.started()
    conversation.say("return")
    prefork_worker.process.wait_for_log(f"{APP}.waits[{task.id}] succeeded")
    assert task.state == PENDING


def test_a_chord_is_complete_although_its_tasks_had_to_wait(
    prefork_worker: CeleryWorker,
    celery_workers: CeleryWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    conversation = talk(product)
    for _ in range(2):
        conversation.say("return")
    begun = prefork_worker.send("begin_chord", conversation.token).get()
    result = prefork_worker.look_up(begun)
    assert [entry["appid"] for entry in result.get()] == [f"{product}-0"] * 2


def test_a_task_that_waits_in_its_worker_has_its_appid_when_the_hour_turns(
    any_worker: CeleryWorker,
    celery_workers: CeleryWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    with taken(short_service, product) as lease:
        result = any_worker.send("waits_inside", talk(product).token)
    assert hour_of(short_service, lease.start_time) < hour_of(short_service, result.get())


@pytest.mark.parametrize("task", ["fails", "waits_a_little"])
def test_a_task_that_may_not_wait_so_long_fails_with_the_typed_error(
    task: str,
    any_worker: CeleryWorker,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    with taken(short_service, product), pytest.raises(NoAppIdAvailable, match=product):
        any_worker.send(task, talk(product).token).get()


def test_an_unknown_product_fails_at_once(any_worker: CeleryWorker, service: LocalService) -> None:
    with pytest.raises(ProductNotFound, match="nowhere"):
        any_worker.send("hold", "nowhere:1").get()


def test_a_wrong_token_fails_at_once(
    any_worker: CeleryWorker, guarded_service: LocalService, new_product: NewProduct
) -> None:
    product = new_product(guarded_service)
    with pytest.raises(AuthenticationError):
        any_worker.send("refused", f"{product}:1").get()
    assert not in_use(guarded_service, product)

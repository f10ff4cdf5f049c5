"""Leases in Celery's own ways of running tasks: chains, groups, Beat, late acknowledgement, and tasks that expire."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from appid_manager_client.integrations.celery import WAITING_FOR_APPID
from celery import chain, group
from celery.states import REVOKED

from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

from .conftest import APP, CeleryWorker, CeleryWorkers, NewProduct
from .test_celery_waiting import taken
from .workers import Conversation, hour_of, wait_until_given_back

Talk = Callable[[str], Conversation]


def test_the_tasks_of_a_chain_go_on_after_one_that_had_to_wait(
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
    first, second = (
        prefork_worker.signature("waits", conversation.token, immutable=True) for _ in range(2)
    )
    last = chain(first, second, prefork_worker.signature("gather")).apply_async()
    held = prefork_worker.look_up(last.id).get()
    starts = [conversation.started()["start"] for _ in range(2)]
    assert (
        hour_of(short_service, starts[0])
        < hour_of(short_service, starts[1])
        == hour_of(short_service, held["start"])
    )
    wait_until_given_back(short_service, product, prefork_worker.process)


def test_the_tasks_of_a_group_have_an_appid_each(
    prefork_worker: CeleryWorker,
    celery_workers: CeleryWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service, appids=2)
    conversation = talk(product)
    tasks = group(prefork_worker.signature("hold", conversation.token) for _ in range(2))
    sent = tasks.apply_async()
    appids = {conversation.started()["appid"] for _ in range(2)}
    for _ in range(2):
        conversation.say("return")
    assert appids == {f"{product}-0", f"{product}-1"}
    assert {prefork_worker.look_up(child.id).get() for child in sent.children} == appids


def test_a_task_that_is_acknowledged_late_waits_without_running_twice(
    prefork_worker: CeleryWorker,
    celery_workers: CeleryWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    conversation = talk(product)
    with taken(short_service, product):
        result = prefork_worker.send("waits_late", conversation.token)
        wait_until(lambda: result.state == WAITING_FOR_APPID, what="the task waits")
    conversation.say("return")
    assert result.get() == f"{product}-0"
    conversation.started()
    assert not conversation.starts_left
    # What is unacknowledged would be delivered again to the next worker.
    wait_until(lambda: not celery_workers.unacknowledged(result.id), what="it is acknowledged")


def test_a_task_that_expires_while_it_waits_does_not_run(
    prefork_worker: CeleryWorker,
    celery_workers: CeleryWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    conversation = talk(product)
    with taken(short_service, product):
        result = prefork_worker.send("waits", conversation.token, expires=2)
        wait_until(lambda: result.state == REVOKED, what="the task expires")
    assert not conversation.starts_left


def test_beat_runs_a_task_with_an_appid(
    celery_workers: CeleryWorkers, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service, appids=2)
    conversation = talk(product)
    for _ in range(100):  # Beat sends more than one
        conversation.say("return")
    with ExitStack() as stack:
        worker = celery_workers.start(stack, "prefork", "-B", scheduled=conversation.token)
        assert conversation.started()["appid"] in {f"{product}-0", f"{product}-1"}
        worker.process.wait_for_log("Sending due task scheduled")
        wait_until_given_back(service, product, worker.process)


def test_the_worker_logs_which_appid_a_task_holds(
    prefork_worker: CeleryWorker, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    task = prefork_worker.send("hold", conversation.token)
    conversation.started()
    conversation.say("return")
    prefork_worker.process.wait_for_log(f"{APP}.hold[{task.id}]: holds {product}-0 of {product}")

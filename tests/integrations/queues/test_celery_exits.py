"""However a Celery task ends, its AppID is given back: real workers of every pool, really killed and stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

import pytest

from appid_manager_client.testing import LocalService
from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.waiting import wait_until

from .conftest import APP, CeleryWorker, CeleryWorkers, NewProduct
from .workers import (
    Conversation,
    in_use,
    is_alive,
    wait_until_given_back,
    worker_environment,
)

Talk = Callable[[str], Conversation]


POOLS = ["prefork", "spawn", "threads", "solo", "gevent"]


@pytest.mark.parametrize("word", ["return", "raise", "retry", "reject", "ignore", "replace"])
def test_a_body_that_ends_by_itself_gives_its_appid_back(
    word: str,
    any_worker: CeleryWorker,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    any_worker.send("hold", conversation.token)
    conversation.started()
    conversation.say(word)
    wait_until_given_back(service, product, any_worker.process)


@pytest.mark.parametrize("any_worker", ["prefork", "spawn", "threads", "gevent"], indirect=True)
def test_a_body_that_exits_gives_its_appid_back(
    any_worker: CeleryWorker, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    any_worker.send("hold", conversation.token)
    conversation.started()
    conversation.say("exit")
    wait_until_given_back(service, product, any_worker.process)


@pytest.mark.parametrize("task", ["hold", "hold_late", "plainly_decorated"])
@pytest.mark.parametrize("word", ["_exit", "kill"])
@pytest.mark.parametrize("any_worker", ["prefork", "spawn"], indirect=True)
def test_what_a_killed_child_held_is_given_back_by_its_parent(
    word: str,
    task: str,
    any_worker: CeleryWorker,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service, appids=2)
    conversation = talk(product)
    any_worker.send(task, conversation.token)
    first = conversation.started()
    conversation.say(word)
    if task == "hold_late":  # requeued: the same task again, while its first AppID is swept up
        second = conversation.started()
        assert second["appid"] != first["appid"]
        conversation.say("return")
    wait_until_given_back(service, product, any_worker.process)


@pytest.mark.parametrize("number", ["TERM", "KILL"])
@pytest.mark.parametrize("any_worker", ["prefork", "spawn", "gevent"], indirect=True)
def test_a_revoked_task_gives_its_appid_back(
    number: str,
    any_worker: CeleryWorker,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    result = any_worker.send("hold", conversation.token)
    conversation.started()
    any_worker.revoke(result, number)
    wait_until_given_back(service, product, any_worker.process)


@pytest.mark.parametrize("any_worker", ["prefork", "spawn"], indirect=True)
def test_a_soft_time_limit_gives_the_appid_back(
    any_worker: CeleryWorker, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    any_worker.send("hold", conversation.token, soft_time_limit=1)
    conversation.started()
    assert conversation.started()["softly"]
    wait_until_given_back(service, product, any_worker.process)


@pytest.mark.parametrize("any_worker", ["prefork", "spawn", "gevent"], indirect=True)
def test_a_hard_time_limit_gives_the_appid_back(
    any_worker: CeleryWorker, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    any_worker.send("hold", conversation.token, time_limit=1)
    conversation.started()
    wait_until_given_back(service, product, any_worker.process)


@pytest.mark.parametrize("limit", ["time_limit", "soft_time_limit"])
@pytest.mark.parametrize("any_worker", ["threads", "solo"], indirect=True)
def test_a_pool_that_knows_no_time_limits_gives_the_appid_back_when_the_body_ends(
    limit: str,
    any_worker: CeleryWorker,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    any_worker.send("hold", conversation.token, **{limit: 1})
    conversation.started()
    time_is_up = time.monotonic() + 1.5
    wait_until(lambda: time.monotonic() > time_is_up, what="the task's time is up")
    assert in_use(service, product)
    conversation.say("return")
    wait_until_given_back(service, product, any_worker.process)


@pytest.fixture(scope="module")
def field() -> Iterator[FieldService]:
    with FieldService(auth_token=None) as service:
        yield service


@pytest.fixture(scope="module")
def field_worker(celery_workers: CeleryWorkers, field: FieldService) -> Iterator[CeleryWorker]:
    with ExitStack() as stack:
        yield celery_workers.start(stack, "prefork", url=field.url)


def test_a_service_without_the_extensions_gets_back_what_a_killed_child_held(
    field: FieldService, field_worker: CeleryWorker, talk: Talk
) -> None:
    field.init("killed", {"1": 1})
    conversation = talk("killed")
    field_worker.send("hold", conversation.token)
    conversation.started()
    conversation.say("kill")
    wait_until(lambda: not field.in_use("killed"), what="the AppID is given back")


def test_a_soft_time_limit_doesnt_stop_a_release_that_it_strikes(
    field: FieldService, field_worker: CeleryWorker, talk: Talk
) -> None:
    field.init("struck", {"2": 2})
    conversation = talk("struck")
    hang = field.faults.queue("release", Fault.HANG)  # done only if its caller stays for it
    task = field_worker.send("hold", conversation.token, soft_time_limit=1)
    conversation.started()
    conversation.say("return")
    hang.wait_reached()
    field_worker.process.wait_for_log(f"Soft time limit (1s) exceeded for {APP}.hold[{task.id}]")
    assert field.in_use("struck")
    hang.release()
    wait_until(lambda: not field.in_use("struck"), what="the AppID is given back")
    assert [call.body["appid"] for call in field.calls_of("release")].count("2") == 1


def test_a_hard_time_limit_that_strikes_a_release_leaves_it_to_the_parent(
    field: FieldService, field_worker: CeleryWorker, talk: Talk
) -> None:
    field.init("cut", {"3": 3})
    conversation = talk("cut")
    hang = field.faults.queue("release", Fault.HANG)  # never done: its caller is killed
    field_worker.send("hold", conversation.token, time_limit=1)
    conversation.started()
    conversation.say("return")
    hang.wait_reached()
    wait_until(lambda: not field.in_use("cut"), what="the AppID is given back")
    assert [call.body["appid"] for call in field.calls_of("release")].count("3") == 2


# What a worker says when a signal has arrived: the next one may follow then.
WARM = "worker: Warm shutdown (MainProcess)"
COLD = "worker: Hitting Ctrl+C again will terminate all running tasks!"


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_that_is_stopped_lets_its_tasks_end(
    pool: str,
    times: int,
    celery_workers: CeleryWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        worker = celery_workers.start(stack, pool)
        worker.send("hold", conversation.token)
        conversation.started()
        for _ in range(times):
            worker.process.signal(signal.SIGTERM)
            worker.process.wait_for_log(WARM)
        assert in_use(service, product)
        conversation.say("return")
        worker.process.ended()
        assert not in_use(service, product)


@pytest.mark.parametrize(
    ("pool", "signals"),
    [
        ("prefork", "QUIT"),
        ("spawn", "QUIT"),
        ("prefork", "INT INT"),
        ("prefork", "INT INT INT"),
        ("spawn", "INT INT"),
        ("spawn", "INT INT INT"),
        ("threads", "QUIT"),
        ("threads", "INT INT"),
        ("threads", "INT INT INT"),
        ("solo", "QUIT"),
        ("solo", "INT INT"),
        ("solo", "INT INT INT"),
        ("gevent", "QUIT"),
        ("gevent", "INT INT"),
        ("gevent", "INT INT INT"),
    ],
)
def test_a_worker_that_is_made_to_stop_gives_back_what_its_tasks_hold(
    signals: str,
    pool: str,
    celery_workers: CeleryWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        worker = celery_workers.start(stack, pool)
        worker.send("hold", conversation.token)
        conversation.started()
        said = [COLD] if signals == "QUIT" else [WARM, COLD]
        for number, answer in zip_longest(signals.split(), said):
            worker.process.signal(getattr(signal, f"SIG{number}"))
            if answer is not None:
                worker.process.wait_for_log(answer)
        if pool == "threads":
            conversation.say("return")  # nothing ends a thread: Python waits for its body
        # Not its end: Celery's solo pool may live on, as it can't cancel the task that interrupts itself.
        wait_until_given_back(service, product, worker.process)


@pytest.mark.parametrize(
    ("pool", "word"),
    [
        ("solo", "exit"),
        ("solo", "_exit"),
        ("solo", "kill"),
        ("threads", "_exit"),
        ("threads", "kill"),
        ("gevent", "_exit"),
        ("gevent", "kill"),
    ],
)
def test_what_a_body_held_that_ended_its_worker_is_given_back(
    word: str,
    pool: str,
    celery_workers: CeleryWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        worker = celery_workers.start(stack, pool)
        worker.send("hold", conversation.token)
        conversation.started()
        conversation.say(word)
        worker.process.ended()
        if word != "exit":
            worker = celery_workers.start(stack, "solo", state=worker.process.state)
        wait_until_given_back(service, product, worker.process)


def test_what_killed_workers_held_is_given_back_when_the_next_one_starts(
    celery_workers: CeleryWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
    tmp_path: Path,
) -> None:
    products = {pool: new_product(service) for pool in POOLS}
    conversations = {pool: talk(product) for pool, product in products.items()}
    with ExitStack() as stack:
        workers = {pool: celery_workers.start(stack, pool, state=tmp_path) for pool in POOLS}
        for pool, worker in workers.items():
            worker.send("hold", conversations[pool].token)
        bodies = [conversation.started()["pid"] for conversation in conversations.values()]
        for worker in workers.values():
            worker.process.signal(signal.SIGKILL)
            worker.process.ended()
        # Celery has the kernel kill a worker's children with it: none is left to end its body.
        wait_until(lambda: not any(map(is_alive, bodies)), what="the bodies' processes end")
        assert all(in_use(service, product) for product in products.values())
        rescuer = celery_workers.start(stack, "solo", state=tmp_path)
        for product in products.values():
            wait_until_given_back(service, product, rescuer.process)


KILLED_WHILE_IT_HOLDS = """
import os, signal, sys
from appid_manager_client import AppIdClient
AppIdClient(journal=True).lease(sys.argv[1]).acquire()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_that_stops_takes_a_last_look_at_the_journal(
    celery_workers: CeleryWorkers,
    service: LocalService,
    new_product: NewProduct,
    tmp_path: Path,
) -> None:
    product = new_product(service)
    with ExitStack() as stack:
        worker = celery_workers.start(stack, "solo", state=tmp_path)
        worker.process.wait_for_log("ready.")
        subprocess.run(
            [sys.executable, "-c", KILLED_WHILE_IT_HOLDS, product],
            env=worker_environment(service, tmp_path),
            timeout=60,
        )
        worker.process.signal(signal.SIGTERM)
        worker.process.ended()
        assert not in_use(service, product)


@pytest.mark.parametrize("word", ["_exit", "kill"])
def test_a_spawned_child_keeps_a_journal_from_its_first_task_on(
    word: str,
    celery_workers: CeleryWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:  # no child that has had a journal from another task
        worker = celery_workers.start(stack, "spawn")
        worker.send("plainly_decorated", conversation.token)
        conversation.started()
        conversation.say(word)
        wait_until_given_back(service, product, worker.process)

"""Leases under `rq worker-pool`: several workers of one class below one parent, really killed and stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rq.command import send_stop_job_command

from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

from .conftest import NewProduct, RqWorker, RqWorkers
from .workers import Conversation, in_use, wait_until_given_back

Talk = Callable[[str], Conversation]

FORKING = ["AppIdWorker", "AppIdSpawnWorker"]
ALL = [*FORKING, "AppIdSimpleWorker"]


@pytest.fixture(scope="module", params=FORKING)
def pooled(request: pytest.FixtureRequest, rq_workers: RqWorkers) -> Iterator[RqWorker]:
    with ExitStack() as stack:
        yield rq_workers.start(stack, request.param, command="worker-pool")


def parent_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


@pytest.mark.parametrize("job", ["hold", "plainly_decorated"])
@pytest.mark.parametrize("word", ["return", "raise", "exit", "_exit", "kill", "terminate"])
def test_a_job_gives_its_appid_back_however_it_ends(
    word: str,
    job: str,
    pooled: RqWorker,
    rq_workers: RqWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    pooled.send(job, conversation.token)
    conversation.started()
    conversation.say(word)
    wait_until_given_back(service, product, pooled.process)


def test_a_stopped_job_gives_its_appid_back(
    pooled: RqWorker,
    rq_workers: RqWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    job = pooled.send("hold", conversation.token)
    conversation.started()
    send_stop_job_command(pooled.connection, job.id)
    wait_until_given_back(service, product, pooled.process)


def test_a_job_comes_again_without_a_further_option(
    rq_workers: RqWorkers,
    pooled: RqWorker,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    conversation = talk(product)
    for _ in range(2):
        conversation.say("return")
        pooled.send("waits", conversation.token)
    started = [conversation.started()["id"] for _ in range(2)]
    assert len(set(started)) == 2
    wait_until_given_back(short_service, product, pooled.process)


@pytest.mark.parametrize("kind", ALL)
def test_a_pool_that_is_stopped_lets_its_jobs_end(
    kind: str, rq_workers: RqWorkers, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        pool = rq_workers.start(stack, kind, command="worker-pool")
        pool.send("hold", conversation.token)
        conversation.started()
        pool.process.signal(signal.SIGTERM)
        pool.process.wait_for_log("Waiting for workers to shutdown")
        assert in_use(service, product)
        conversation.say("return")
        pool.process.ended()
        assert not in_use(service, product)


@pytest.mark.parametrize("kind", ALL)
def test_a_pool_that_is_made_to_stop_gives_back_what_its_jobs_hold(
    kind: str, rq_workers: RqWorkers, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        pool = rq_workers.start(stack, kind, command="worker-pool")
        pool.send("hold", conversation.token)
        conversation.started()

        def ended_by_signals() -> bool:  # RQ takes no second one within a second of the first
            pool.process.signal(signal.SIGTERM)
            return pool.process.process.poll() is not None

        wait_until(ended_by_signals, what="the pool ends")
        assert not in_use(service, product)


def test_what_a_killed_worker_held_is_given_back_by_the_one_that_the_pool_starts_in_its_place(
    rq_workers: RqWorkers, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        pool = rq_workers.start(stack, "AppIdSimpleWorker", command="worker-pool")
        pool.send("hold", conversation.token)
        os.kill(conversation.started()["pid"], signal.SIGKILL)
        wait_until_given_back(service, product, pool.process)


@pytest.mark.parametrize("kind", FORKING)
def test_a_job_whose_worker_was_killed_keeps_its_appid_until_it_ends(
    kind: str, rq_workers: RqWorkers, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        pool = rq_workers.start(stack, kind, command="worker-pool")
        pool.send("hold", conversation.token)
        worker = parent_of(conversation.started()["pid"])
        os.kill(worker, signal.SIGKILL)
        pool.process.wait_for_log(f"with pid {worker} is dead")
        assert in_use(service, product)  # also after the sweep of the worker in its place
        conversation.say("return")
        wait_until_given_back(service, product, pool.process)


@pytest.mark.parametrize("kind", ALL)
def test_workers_whose_pool_was_killed_go_on(
    kind: str, rq_workers: RqWorkers, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        pool = rq_workers.start(stack, kind, command="worker-pool")
        pool.send("hold", conversation.token)
        conversation.started()
        pool.process.signal(signal.SIGKILL)
        pool.process.ended()
        assert in_use(service, product)
        conversation.say("return")
        wait_until_given_back(service, product, pool.process)

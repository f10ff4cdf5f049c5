"""However an RQ job ends, its AppID is given back: real workers of every class, really killed and stopped."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from rq.command import send_kill_horse_command, send_stop_job_command
from rq.job import JobStatus

from appid_manager_client.testing import LocalService
from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.waiting import wait_until

from .conftest import NewProduct, RqWorker, RqWorkers
from .workers import Conversation, in_use, wait_until_given_back

Talk = Callable[[str], Conversation]

FORKING = ["AppIdWorker", "AppIdSpawnWorker"]
ALL = [*FORKING, "AppIdSimpleWorker"]


@pytest.mark.parametrize("job", ["hold", "plainly_decorated"])
@pytest.mark.parametrize("word", ["return", "raise", "exit", "retry"])
def test_a_job_that_ends_by_itself_gives_its_appid_back(
    word: str,
    job: str,
    any_rq_worker: RqWorker,
    rq_workers: RqWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service, appids=2)  # one more for the retry
    conversation = talk(product)
    any_rq_worker.send(job, conversation.token)
    conversation.started()
    conversation.say(word)
    if word == "retry":
        conversation.started()
        conversation.say("return")
    wait_until_given_back(service, product, any_rq_worker.process)


@pytest.mark.parametrize("job", ["hold", "swallow_the_timeout"])
def test_a_job_that_takes_too_long_gives_its_appid_back(
    job: str,
    any_rq_worker: RqWorker,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    any_rq_worker.send(job, conversation.token, job_timeout=1)
    conversation.started()
    wait_until_given_back(service, product, any_rq_worker.process)


def test_a_job_timeout_doesnt_stop_a_release_that_it_strikes(
    rq_workers: RqWorkers, talk: Talk
) -> None:
    with ExitStack() as stack:
        field = stack.enter_context(FieldService(auth_token=None))
        field.init("struck", {"1": 1})
        worker = rq_workers.start(stack, "AppIdWorker", url=field.url)
        conversation = talk("struck")
        hang = field.faults.queue("release", Fault.HANG)  # done only if its caller stays for it
        job = worker.send("hold", conversation.token, job_timeout=1)
        conversation.started()
        conversation.say("return")
        hang.wait_reached()
        time_is_up = time.monotonic() + 2.0
        wait_until(lambda: time.monotonic() > time_is_up, what="the job's time is up")
        assert field.in_use("struck")
        hang.release()
        wait_until(lambda: not field.in_use("struck"), what="the AppID is given back")
        assert len(field.calls_of("release")) == 1
        wait_until(lambda: job.get_status() is JobStatus.FAILED, what="the job has failed")


@pytest.mark.parametrize("job", ["hold", "plainly_decorated"])
@pytest.mark.parametrize("word", ["_exit", "kill", "terminate"])
@pytest.mark.parametrize("any_rq_worker", FORKING, indirect=True)
def test_what_a_killed_work_horse_held_is_given_back(
    word: str,
    job: str,
    any_rq_worker: RqWorker,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    any_rq_worker.send(job, conversation.token)
    conversation.started()
    conversation.say(word)
    wait_until_given_back(service, product, any_rq_worker.process)


@pytest.mark.parametrize("any_rq_worker", ["AppIdSpawnWorker"], indirect=True)
def test_a_spawned_work_horse_finds_the_journal_without_our_class(any_rq_worker: RqWorker) -> None:
    """Before RQ 3 it is a plain `Worker` of RQ's, which calls none of our hooks."""
    job = any_rq_worker.send("tell_journal")
    wait_until(lambda: job.get_status() is JobStatus.FINISHED, what="the job ends")
    journal = any_rq_worker.process.state / "appid-manager" / "journal"
    assert job.return_value() == str(journal)


@pytest.mark.parametrize("any_rq_worker", FORKING, indirect=True)
def test_a_stopped_job_gives_its_appid_back(
    any_rq_worker: RqWorker, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    job = any_rq_worker.send("hold", conversation.token)
    conversation.started()
    send_stop_job_command(any_rq_worker.connection, job.id)
    wait_until_given_back(service, product, any_rq_worker.process)


@pytest.mark.parametrize("any_rq_worker", FORKING, indirect=True)
def test_a_work_horse_that_is_killed_by_command_gives_its_appid_back(
    any_rq_worker: RqWorker, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    job = any_rq_worker.send("hold", conversation.token)
    conversation.started()
    job.refresh()  # it knows its worker now
    send_kill_horse_command(any_rq_worker.connection, job.worker_name)
    wait_until_given_back(service, product, any_rq_worker.process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ALL)
def test_a_worker_that_is_stopped_lets_its_job_end(
    kind: str,
    number: int,
    rq_workers: RqWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        worker = rq_workers.start(stack, kind)
        worker.send("hold", conversation.token)
        conversation.started()
        worker.process.signal(number)
        conversation.say("return")
        worker.process.ended()
        assert not in_use(service, product)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ALL)
def test_a_worker_that_is_made_to_stop_gives_back_what_its_job_holds(
    kind: str,
    number: int,
    rq_workers: RqWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        worker = rq_workers.start(stack, kind)
        worker.send("hold", conversation.token)
        conversation.started()

        def ended_by_signals() -> bool:  # RQ takes no second one within a second of the first
            worker.process.signal(number)
            return worker.process.process.poll() is not None

        wait_until(ended_by_signals, what="the worker ends")
        assert not in_use(service, product)


@pytest.mark.parametrize("kind", FORKING)
def test_a_job_whose_worker_was_killed_keeps_its_appid_until_it_ends(
    kind: str, rq_workers: RqWorkers, service: LocalService, new_product: NewProduct, talk: Talk
) -> None:
    product = new_product(service)
    conversation = talk(product)
    with ExitStack() as stack:
        worker = rq_workers.start(stack, kind)
        worker.send("hold", conversation.token)
        conversation.started()
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.ended()
        assert in_use(service, product)
        conversation.say("return")
        wait_until_given_back(service, product, worker.process)


def test_what_killed_workers_held_is_given_back_when_the_next_one_starts(
    rq_workers: RqWorkers,
    service: LocalService,
    new_product: NewProduct,
    talk: Talk,
    tmp_path: Path,
) -> None:
    products = {kind: new_product(service) for kind in ALL}
    conversations = {kind: talk(product) for kind, product in products.items()}
    with ExitStack() as stack:
        workers = {kind: rq_workers.start(stack, kind, state=tmp_path) for kind in ALL}
        for kind, worker in workers.items():
            worker.send("hold", conversations[kind].token)
        for conversation in conversations.values():
            conversation.started()
        for worker in workers.values():
            worker.process.kill_all()
        assert all(in_use(service, product) for product in products.values())
        rescuer = rq_workers.start(stack, "AppIdSimpleWorker", state=tmp_path)
        for product in products.values():
            wait_until_given_back(service, product, rescuer.process)

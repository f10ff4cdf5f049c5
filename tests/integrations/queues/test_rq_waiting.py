"""When every AppID is taken: jobs come again in the next hour, wait, or fail, as they were told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from rq import Retry
from rq.job import Job, JobStatus

from appid_manager_client import AppIdClient, Lease
from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

from .conftest import NewProduct, RqWorker, RqWorkers
from .workers import Conversation, hour_of, in_use

Talk = Callable[[str], Conversation]

DONE = {JobStatus.FINISHED, JobStatus.FAILED}


@contextmanager
def taken(service: LocalService, product: str) -> Iterator[Lease]:
    """Hold the product's only AppID, so that nothing is free whatever hour it is."""
    with AppIdClient(service.url) as client, client.lease(product) as lease:
        yield lease


def end_of(job: Job) -> JobStatus:
    wait_until(lambda: job.get_status() in DONE, what="the job ends")
    status: JobStatus = job.get_status()
    return status


def failure_of(job: Job) -> str:
    assert end_of(job) is JobStatus.FAILED
    result = wait_until(job.latest_result, what="the result")
    return str(result.exc_string)


def test_a_job_comes_again_in_the_next_hour(
    scheduling_worker: RqWorker,
    rq_workers: RqWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    conversation = talk(product)
    for _ in range(2):
        conversation.say("return")
    jobs = [scheduling_worker.send("waits", conversation.token) for _ in range(2)]
    assert [end_of(job) for job in jobs] == [JobStatus.FINISHED] * 2
    first, second = conversation.started(), conversation.started()
    assert hour_of(short_service, first["start"]) < hour_of(short_service, second["start"])
    assert {first["id"], second["id"]} == {job.id for job in jobs}
    assert not conversation.starts_left


def test_a_job_tells_what_it_waits_for_and_then_what_it_has(
    scheduling_worker: RqWorker,
    rq_workers: RqWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    conversation = talk(product)
    with taken(short_service, product):
        job = scheduling_worker.send("waits", conversation.token)
        wait_until(lambda: job.get_meta(refresh=True), what="the job's meta")
        waiting = job.get_meta()["appid"]
        assert (waiting["state"], waiting["product"]) == ("waiting", product)
        wait_until(lambda: job.get_status() is JobStatus.SCHEDULED, what="the job is scheduled")
    assert conversation.started()["appid"] == f"{product}-0"
    acquired = job.get_meta(refresh=True)["appid"]
    assert (acquired["state"], acquired["appid"]) == ("acquired", f"{product}-0")
    conversation.say("return")
    assert end_of(job) is JobStatus.FINISHED


def test_waiting_uses_up_none_of_the_retries_that_the_job_has(
    scheduling_worker: RqWorker,
    rq_workers: RqWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service, appids=3)
    conversation = talk(product)
    with AppIdClient(short_service.url) as client:
        held = [client.lease(product).acquire() for _ in range(3)]
        job = scheduling_worker.send("waits", conversation.token, retry=Retry(max=1))
        wait_until(lambda: job.get_meta(refresh=True), what="the job waits")
        for lease in held:
            lease.release()
    conversation.started()
    conversation.say("retry")  # returned by the function: Retry(max=1)
    conversation.started()
    conversation.say("raise")  # the job's own, for failures: Retry(max=1)
    conversation.started()
    conversation.say("return")
    assert end_of(job) is JobStatus.FINISHED


def test_a_job_that_waits_in_its_work_horse_has_its_appid_when_the_hour_turns(
    scheduling_worker: RqWorker,
    rq_workers: RqWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    with taken(short_service, product) as lease:
        job = scheduling_worker.send("waits_inside", talk(product).token)
    assert end_of(job) is JobStatus.FINISHED
    assert hour_of(short_service, lease.start_time) < hour_of(short_service, job.return_value())


@pytest.mark.parametrize("job", ["fails", "waits_a_little"])
def test_a_job_that_may_not_wait_so_long_fails_with_the_typed_error(
    job: str,
    scheduling_worker: RqWorker,
    rq_workers: RqWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    with taken(short_service, product):
        sent = scheduling_worker.send(job, talk(product).token)
        assert "NoAppIdAvailable" in failure_of(sent)


def test_an_unknown_product_fails_at_once(
    scheduling_worker: RqWorker, rq_workers: RqWorkers
) -> None:
    assert "ProductNotFound" in failure_of(scheduling_worker.send("hold", "nowhere:1"))


def test_a_wrong_token_fails_at_once(
    scheduling_worker: RqWorker,
    rq_workers: RqWorkers,
    guarded_service: LocalService,
    new_product: NewProduct,
) -> None:
    product = new_product(guarded_service)
    assert "AuthenticationError" in failure_of(scheduling_worker.send("refused", f"{product}:1"))
    assert not in_use(guarded_service, product)


def test_a_job_that_nobody_will_schedule_again_says_so(
    any_rq_worker: RqWorker,
    rq_workers: RqWorkers,
    short_service: LocalService,
    new_product: NewProduct,
    talk: Talk,
) -> None:
    product = new_product(short_service)
    with taken(short_service, product):
        any_rq_worker.send("waits", talk(product).token)
        any_rq_worker.process.wait_for_log("no scheduler runs for queue")

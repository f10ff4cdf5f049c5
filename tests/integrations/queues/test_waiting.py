"""When every AppID is taken: tasks run again in the next hour, wait, or fail, as they were told."""

from __future__ import annotations

import pytest
from rq import Retry
from rq.job import JobStatus

from appid_manager_client import AppIdClient, AuthenticationError, NoAppIdAvailable, ProductNotFound
from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

from .conftest import SHORT_HOUR
from .queues import CELERY, QueueWorker, RqWorker, TaskFailed, Workers
from .scenes import Scene, Scenes, on

KINDS = (*CELERY, "rq-scheduler")


# Tasks wait for the hour to turn: in workers of all kinds at once.
@pytest.fixture(scope="session")
def all_workers(workers: Workers) -> list[QueueWorker]:
    return [workers.shared(kind) for kind in (*KINDS, "pool", "pool-spawn")]


def test_a_task_runs_again_in_the_next_hour(
    all_workers: list[QueueWorker], scenes: Scenes, short_service: LocalService
) -> None:
    begun = []
    for worker in all_workers:
        scene = scenes.open(worker, service=short_service)
        scene.say("return", times=2)
        begun.append((scene, [scene.send("waits") for _ in range(2)]))
    for scene, sent in begun:
        first, second = sorted(scene.hour_of(task.result()) for task in sent)
        assert first < second
        announced = [scene.started(), scene.started()]
        assert not scene.starts_left
        assert {facts["appid"] for facts in announced} == {f"{scene.product}-0"}
        assert {facts["id"] for facts in announced} == {task.id for task in sent}
        # A retry of the body's own starts anew.
        assert [facts.get("retries", 0) for facts in announced] == [0, 0]
        assert [facts.get("waiting", []) for facts in announced] == [[], []]
        scene.wait_until_released()


@on("prefork", "rq-scheduler")
def test_a_waiting_task_tells_its_product_and_when_it_tries_again(short_scene: Scene) -> None:
    with short_scene.exhausted():
        sent = short_scene.send("waits")
        told = wait_until(sent.waits_for, what="the task waits")
    assert told["product"] == short_scene.product
    assert told["available_at"] - told["next_try"] < SHORT_HOUR / 2, "in its window of the turn"
    if short_scene.worker.kind == "prefork":
        assert told["waits"] >= 1
        assert told["waiting_since"] < told["next_try"]
    short_scene.worker.process.wait_for_log(f"waits for an AppID of {short_scene.product}")
    short_scene.say("return")
    sent.result()
    assert short_scene.started()["id"] == sent.id
    assert sent.waits_for() is None


def test_waiting_uses_up_none_of_a_celery_tasks_own_retries(
    all_workers: list[QueueWorker], scenes: Scenes, short_service: LocalService
) -> None:
    begun = []
    for worker in all_workers:
        if worker.kind in CELERY:
            scene = scenes.open(worker, service=short_service)
            begun.append((scene, scene.begin("waits")))
    for scene, _ in begun:
        assert scene.facts["retries"] == 0
        scene.say("retry")  # the one that the task has; it finds the AppID used up
    for scene, sent in begun:
        assert scene.started()["retries"] == 1
        scene.say("return")
        sent.result()


@on("rq-scheduler")
def test_waiting_uses_up_none_of_the_retries_that_a_job_has(
    worker: RqWorker, scenes: Scenes, short_service: LocalService
) -> None:
    scene = scenes.open(worker, appids=3, service=short_service)
    with AppIdClient(short_service.url) as client:
        held = [client.lease(scene.product).acquire() for _ in range(3)]
        sent = scene.send("waits", retry=Retry(max=1))
        wait_until(sent.waits_for, what="the job waits")
        for lease in held:
            lease.release()
    scene.started()
    scene.say("retry")  # returned by the function: Retry(max=1)
    scene.started()
    scene.say("raise")  # the job's own, for failures: Retry(max=1)
    scene.started()
    scene.say("return")
    sent.result()


def test_a_task_that_waits_in_its_worker_has_its_appid_when_the_hour_turns(
    all_workers: list[QueueWorker], scenes: Scenes, short_service: LocalService
) -> None:
    begun = []
    for worker in all_workers:
        scene = scenes.open(worker, service=short_service)
        with scene.exhausted() as lease:
            begun.append((scene, lease.start_time, scene.send("waits_inside")))
    for scene, taken, sent in begun:
        assert scene.hour_of(taken) < scene.hour_of(sent.result())


@pytest.mark.parametrize("task", ["fails", "waits_a_little"])
@on(*KINDS)
def test_a_task_that_may_not_wait_so_long_fails_with_the_typed_error(
    task: str, short_scene: Scene
) -> None:
    with short_scene.exhausted(), pytest.raises(TaskFailed, match="NoAppIdAvailable") as failed:
        short_scene.send(task).result()
    assert short_scene.product in str(failed.value)
    assert failed.value.is_a(NoAppIdAvailable)


@on(*KINDS)
def test_an_unknown_product_fails_at_once(worker: QueueWorker) -> None:
    with pytest.raises(TaskFailed, match="nowhere") as failed:
        worker.send("hold", "nowhere:").result()
    assert failed.value.is_a(ProductNotFound)


@on(*KINDS)
def test_a_wrong_token_fails_at_once(
    worker: QueueWorker, scenes: Scenes, guarded_service: LocalService
) -> None:
    scene = scenes.open(worker, service=guarded_service)
    with pytest.raises(TaskFailed) as failed:
        scene.send("refused").result()
    assert failed.value.is_a(AuthenticationError)
    assert not scene.in_use


@on("rq", "rq-spawn", "rq-simple")
def test_a_job_that_no_scheduler_runs_again_says_so(short_scene: Scene) -> None:
    with short_scene.exhausted():
        sent = short_scene.send("waits")
        short_scene.worker.process.wait_for_log("no scheduler runs for queue")
        wait_until(
            lambda: sent.job.get_status() is JobStatus.SCHEDULED, what="the job is scheduled"
        )


@on("rq")
def test_a_job_tells_which_appid_it_has(scene: Scene) -> None:
    told = scene.begin().meta
    assert (told["state"], told["appid"]) == ("acquired", f"{scene.product}-0")
    scene.say("return")
    scene.wait_until_released()

"""Releases on a service without the extensions, also while a limit strikes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.waiting import wait_until

from .queues import APP, QueueWorker, TaskFailed, Workers
from .scenes import Scene, Scenes, on


@pytest.fixture(scope="module")
def field() -> Iterator[FieldService]:
    with FieldService(auth_token=None) as service:
        yield service


@pytest.fixture(scope="module")
def worker(
    request: pytest.FixtureRequest, workers: Workers, field: FieldService
) -> Iterator[QueueWorker]:
    with ExitStack() as stack:
        yield workers.start(stack, request.param, APPID_MANAGER_URL=field.url)


def releases(scene: Scene, field: FieldService) -> int:
    calls = field.calls_of("release")
    return [call.body["appid"] for call in calls].count(scene.facts["appid"])


@on("prefork", "rq")
def test_what_a_killed_process_held_is_released(
    worker: QueueWorker, field: FieldService, scenes: Scenes
) -> None:
    scene = scenes.open(worker, service=field)
    scene.begin()
    scene.say("kill")
    scene.wait_until_released()


@on("prefork", "rq")
def test_a_limit_doesnt_stop_a_release_that_it_strikes(
    worker: QueueWorker, field: FieldService, scenes: Scenes
) -> None:
    scene = scenes.open(worker, service=field)
    hang = field.faults.queue("release", Fault.HANG)  # done only if its caller waits for it
    limits: dict[str, Any] = {"prefork": {"soft_time_limit": 1}, "rq": {"job_timeout": 1}}
    sent = scene.begin(**limits[worker.kind])
    scene.say("return")
    hang.wait_reached()
    if worker.kind == "prefork":
        worker.process.wait_for_log(f"Soft time limit (1s) exceeded for {APP}.hold[{sent.id}]")
    else:
        time_is_up = time.monotonic() + 2.0
        wait_until(lambda: time.monotonic() > time_is_up, what="the job's time is up")
    assert scene.in_use
    hang.release()
    scene.wait_until_released()
    assert releases(scene, field) == 1
    with pytest.raises(TaskFailed):
        sent.result()


@on("prefork")
def test_a_hard_limit_that_strikes_a_release_leaves_it_to_the_sweep(
    worker: QueueWorker, field: FieldService, scenes: Scenes
) -> None:
    scene = scenes.open(worker, service=field)
    hang = field.faults.queue("release", Fault.HANG)  # never done: its caller is killed
    scene.begin(time_limit=1)
    scene.say("return")
    hang.wait_reached()
    scene.wait_until_released()
    assert releases(scene, field) == 2

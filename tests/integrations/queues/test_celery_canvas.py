"""Leases in Celery's own ways of running tasks: canvas, Beat, late acknowledgement, expiry."""

from __future__ import annotations

import pytest
from celery import chain, group
from celery.states import PENDING, REVOKED

from tests.support.waiting import wait_until

from .queues import APP, CeleryWorker, Workers
from .scenes import Scene, Scenes, on


@on("prefork")
def test_the_tasks_of_a_chain_go_on_after_one_that_had_to_wait(
    worker: CeleryWorker, short_scene: Scene
) -> None:
    short_scene.say("return", times=2)
    first, second = (worker.signature("waits", short_scene.token, immutable=True) for _ in range(2))
    last = chain(first, second, worker.signature("gather")).apply_async()
    result = worker.look_up(last.id).result()
    hours = [short_scene.hour_of(short_scene.started()["start"]) for _ in range(2)]
    assert hours[0] < hours[1] == short_scene.hour_of(result)
    short_scene.wait_until_released()


@on("prefork")
def test_the_tasks_of_a_group_have_an_appid_each(worker: CeleryWorker, scenes: Scenes) -> None:
    scene = scenes.open(worker, appids=2)
    sent = group(worker.signature("hold", scene.token) for _ in range(2)).apply_async()
    appids = {scene.started()["appid"] for _ in range(2)}
    scene.say("return", times=2)
    assert appids == {f"{scene.product}-0", f"{scene.product}-1"}
    assert {worker.look_up(child.id).result() for child in sent.children} == appids


@on("prefork")
def test_a_chord_is_complete_although_its_tasks_had_to_wait(
    worker: CeleryWorker, short_scene: Scene
) -> None:
    short_scene.say("return", times=2)
    starts = worker.look_up(short_scene.send("begin_chord").result()).result()
    assert len(starts) == 2
    assert {short_scene.started()["appid"] for _ in starts} == {f"{short_scene.product}-0"}


@on("prefork")
def test_a_task_whose_result_nobody_wants_leaves_none_after_it_waited(short_scene: Scene) -> None:
    with short_scene.exhausted():
        sent = short_scene.send("waits", ignore_result=True)
        short_scene.worker.process.wait_for_log(f"waits for an AppID of {short_scene.product}")
    short_scene.started()
    short_scene.say("return")
    short_scene.worker.process.wait_for_log(f"{APP}.waits[{sent.id}] succeeded")
    assert sent.state == PENDING


@on("prefork")
def test_a_task_that_is_acknowledged_late_waits_without_running_twice(
    short_scene: Scene, workers: Workers
) -> None:
    with short_scene.exhausted():
        sent = short_scene.send("waits_late")
        wait_until(sent.waits_for, what="the task waits")
    short_scene.say("return")
    sent.result()
    assert short_scene.started()["appid"] == f"{short_scene.product}-0"
    assert not short_scene.starts_left
    # What is unacknowledged would be delivered again to the next worker.
    wait_until(lambda: not workers.unacknowledged(sent.id), what="it is acknowledged")


@pytest.mark.parametrize("word", ["_exit", "kill"])
@on("prefork", "spawn")
def test_a_killed_task_that_runs_again_has_another_appid_until_its_first_is_swept(
    word: str, worker: CeleryWorker, scenes: Scenes
) -> None:
    scene = scenes.open(worker, appids=2)
    scene.begin("hold_late")
    scene.say(word)
    assert scene.started()["appid"] != scene.facts["appid"]
    scene.say("return")
    scene.wait_until_released()


@on("prefork")
def test_a_task_that_expires_while_it_waits_does_not_run(short_scene: Scene) -> None:
    with short_scene.exhausted():
        sent = short_scene.send("waits", expires=2)
        wait_until(lambda: sent.state == REVOKED, what="the task expires")
    assert not short_scene.starts_left


def test_beat_runs_a_task_with_an_appid(scenes: Scenes) -> None:
    scene = scenes.start("prefork", "-B", appids=2)
    scene.say("return", times=100)  # Beat sends more than one
    assert scene.started()["appid"] in {f"{scene.product}-0", f"{scene.product}-1"}
    scene.worker.process.wait_for_log("Sending due task scheduled")
    scene.wait_until_released()


@on("prefork")
def test_the_worker_logs_which_appid_a_task_holds(scene: Scene) -> None:
    sent = scene.begin()
    scene.say("return")
    scene.worker.process.wait_for_log(
        f"{APP}.hold[{sent.id}]: holds {scene.product}-0 of {scene.product}"
    )

"""Tasks in the service's line: they keep their place while they are away, and come back in time."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from appid_manager_client.integrations._rescheduling import COME_BACK, TICKET

from appid_manager_client import AppIdClient, NoAppIdAvailable
from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

from .queues import QueueWorker, Sent, TaskFailed, Workers
from .scenes import Scene, Scenes

KINDS = {"prefork": 2, "rq-scheduler": 1}
"""Workers, and how many AppIDs the product has: the worker of RQ has one job at a time."""
TWICE = "threads"
"""The kind of worker to which a task is delivered twice; both runs are held at the same time."""


LEFT = 20.0
"""Seconds that are left of the hour when the AppIDs are used up: enough for workers under load."""


def use_up(service: LocalService, *scenes: Scene) -> None:
    """Use all AppIDs of the scenes' products in one hour."""
    service.advance_to_next_hour(-LEFT)
    with AppIdClient(service.url) as client, ExitStack() as stack:
        for scene in scenes:
            for _ in service.status(scene.product)["appids"]:
                stack.enter_context(client.lease(scene.product))


# They wait for the hour to turn: in workers of several kinds at once.
@pytest.fixture(scope="session")
def several_workers(workers: Workers) -> dict[str, QueueWorker]:
    return {kind: workers.shared(kind) for kind in (*KINDS, TWICE)}


def test_tasks_stand_in_line(
    several_workers: dict[str, QueueWorker], scenes: Scenes, line_service: LocalService
) -> None:
    """One test, because the service's clock is set once: the workers' clients go by it."""
    in_order = {
        scenes.open(several_workers[kind], appids, line_service): appids
        for kind, appids in KINDS.items()
    }
    twice = scenes.open(several_workers[TWICE], 2, line_service)
    in_time = [scenes.open(several_workers[kind], 1, line_service) for kind in KINDS]
    use_up(line_service, *in_order, twice, *in_time)
    turn = line_service.hour.end

    refused = [scene.send("stands_a_little") for scene in in_time]
    waiting = {scene: stand(scene, appids + 1) for scene, appids in in_order.items()}
    runs = deliver_twice(twice)

    check_that_those_left_whose_time_was_up(line_service, in_time, refused)
    for scene, tasks in waiting.items():
        check_that_all_but_the_last_were_held_over(turn, tasks)
        wait_until(lambda: len(line_service.line(scene.product)) == 1, what="the last waits on")
    (one, _), (other, _) = (run.result() for run in runs)
    assert one != other, "one request never serves two runs"
    assert line_service.line(twice.product) == []
    check_headers_that_others_wrote(scenes, several_workers["prefork"], line_service)


def stand(scene: Scene, count: int) -> list[Sent]:
    """Have so many tasks stand in line, one after the other."""
    tasks = []
    for place in range(1, count + 1):
        sent: Sent = scene.send("stands")
        told = wait_until(lambda: placed(sent), what=f"task {place} stands in line")
        assert (told["place"], told["waiting"]) == (place, place)
        tasks.append(sent)
    return tasks


def placed(sent: Sent) -> dict[str, Any]:
    """What a task's state says, once that has a place."""
    told = sent.waits_for() or {}
    return told if told.get("place") else {}


def deliver_twice(scene: Scene) -> list[Sent]:
    """Send a task as a broker that delivers it twice: both runs come with one ticket."""
    with AppIdClient(scene.service.url) as client, pytest.raises(NoAppIdAvailable) as caught:
        client.lease(scene.product, come_back=0.0, timeout=1.0).acquire()
    assert caught.value.come_back_at is not None
    headers = {TICKET: caught.value.ticket, COME_BACK: caught.value.come_back_at}
    return [scene.send("stands", headers=headers) for _ in range(2)]


def check_that_all_but_the_last_were_held_over(turn: int, tasks: list[Sent]) -> None:
    results = [task.result() for task in tasks[:-1]]
    assert len({appid for appid, _ in results}) == len(results)
    assert all(0 <= began - turn < 500 for _, began in results), results
    assert not tasks[-1].ended()


def check_that_those_left_whose_time_was_up(
    service: LocalService, scenes: list[Scene], tasks: list[Sent]
) -> None:
    for scene, task in zip(scenes, tasks):
        with pytest.raises(TaskFailed, match="NoAppIdAvailable"):
            task.result()
        assert service.line(scene.product) == []


def check_headers_that_others_wrote(
    scenes: Scenes, worker: QueueWorker, service: LocalService
) -> None:
    for headers in ({TICKET: 7}, {TICKET: "x" * 999}, {TICKET: "t", COME_BACK: "now"}):
        scene = scenes.open(worker, 1, service)
        assert scene.send("stands", headers=headers).result()

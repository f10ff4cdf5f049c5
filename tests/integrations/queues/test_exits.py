"""However a task or its worker ends, the AppID is released: real workers, really killed.

What is expected stands in the table in `exits.py`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until

from .exits import OF_A_TASK, OF_A_WORKER, Exit, cells
from .queues import CELERY, QueueWorker
from .scenes import Scene, Scenes


@pytest.mark.parametrize(
    ("way", "worker", "cell"),
    cells(OF_A_TASK, "body", "sweep", "any", "held"),
    indirect=["worker"],
)
def test_a_task_that_ends_releases_its_appid(
    way: Exit, worker: QueueWorker, cell: str, scenes: Scenes
) -> None:
    scene = scenes.open(worker, appids=2)  # one more for the run after a retry
    scene.begin(way.task, **way.options)
    way.bring_about(scene, cell)
    if cell == "held":
        assert scene.in_use
        scene.say("return")
    scene.wait_until_released()
    if cell == "sweep":
        wait_until(lambda: scene.swept, what="the worker logs its sweep")
    elif cell != "any":
        assert not scene.swept


def scene_after(way: Exit, kind: str, cell: str, scenes: Scenes) -> Scene:
    """A task that holds an AppID in a worker of its own, after an exit of that worker."""
    scene = scenes.start(kind)
    scene.begin()
    way.bring_about(scene, cell)
    return scene


@pytest.mark.parametrize(("way", "kind", "cell"), cells(OF_A_WORKER, "held", "orphan"))
def test_a_body_whose_worker_was_stopped_or_killed_goes_on_to_its_end(
    way: Exit, kind: str, cell: str, scenes: Scenes
) -> None:
    scene = scene_after(way, kind, cell, scenes)
    assert scene.in_use
    scene.say("return")
    if cell == "held":
        scene.worker.process.wait_for_end()
        assert not scene.in_use
    scene.wait_until_released()


@pytest.mark.parametrize(("way", "kind", "cell"), cells(OF_A_WORKER, "any", "ended", "sweep"))
def test_a_worker_that_is_made_to_end_releases_what_its_task_holds(
    way: Exit, kind: str, cell: str, scenes: Scenes
) -> None:
    scene = scene_after(way, kind, cell, scenes)
    if cell == "ended":
        scene.worker.process.wait_for_end()
        assert not scene.in_use
    # The others may live on: Celery's solo pool can't cancel the task that interrupts itself.
    scene.wait_until_released()


def by_way(parameters: list[Any]) -> list[Any]:
    """The kinds of each way together: their workers need one that starts next, not one each."""
    kinds: dict[str, list[str]] = defaultdict(list)
    ways: dict[str, Exit] = {}
    for parameter in parameters:
        way, kind, _ = parameter.values
        name = f"{way.name}-{'celery' if kind in CELERY else 'rq'}"
        kinds[name].append(kind)
        ways[name] = way
    return [pytest.param(ways[name], kinds[name], id=name) for name in ways]


@pytest.mark.parametrize(("way", "kinds"), by_way(cells(OF_A_WORKER, "next")))
def test_what_killed_workers_held_is_released_when_the_next_one_starts(
    way: Exit, kinds: list[str], scenes: Scenes, tmp_path: Path
) -> None:
    killed = [scenes.start(kind, state=tmp_path) for kind in kinds]
    for scene in killed:
        scene.begin()
    for scene in killed:
        way.bring_about(scene, "next")
    for scene in killed:
        scene.worker.process.wait_for_end()
    assert all(scene.in_use for scene in killed)
    scenes.start("solo" if kinds[-1] in CELERY else "rq-simple", state=tmp_path)
    for scene in killed:
        scene.wait_until_released()

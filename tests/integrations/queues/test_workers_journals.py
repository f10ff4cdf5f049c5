"""Journals in real workers: who keeps one, and from when on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appid_manager_client.testing import LocalService

from .queues import QueueWorker
from .scenes import Scenes, on
from .workers import worker_environment

KILLED_WHILE_IT_HOLDS = """
import os, signal, sys
from appid_manager_client import AppIdClient
AppIdClient(journal=True).lease(sys.argv[1]).acquire()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_celery_worker_that_stops_sweeps_a_last_time(
    scenes: Scenes, service: LocalService, tmp_path: Path
) -> None:
    scene = scenes.start("solo", state=tmp_path)
    scene.worker.process.wait_for_log("ready.")
    subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_IT_HOLDS, scene.product],
        env=worker_environment(service, tmp_path),
        timeout=60,
    )
    assert scene.in_use
    scene.worker.process.signal(signal.SIGTERM)
    scene.worker.process.wait_for_end()
    assert not scene.in_use


@pytest.mark.parametrize("word", ["_exit", "kill"])
def test_a_spawned_child_of_celery_keeps_a_journal_from_its_first_task_on(
    word: str, scenes: Scenes
) -> None:
    scene = scenes.start("spawn")  # no child has a journal from another task
    scene.begin("plainly_decorated")
    scene.say(word)
    scene.wait_until_released()


@on("rq-spawn")
def test_a_spawned_work_horse_finds_the_journal_without_our_class(worker: QueueWorker) -> None:
    """Before RQ 3 it is a plain `Worker` of RQ's, which calls none of our hooks."""
    journal = worker.process.state / "appid-manager" / "journal"
    assert worker.send("read_journal_variable").result() == str(journal)

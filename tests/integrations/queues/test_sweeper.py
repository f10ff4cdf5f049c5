"""The sweeper: when it looks at the journal, and that nothing ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from appid_manager_client.integrations._sweeper import Sweeper

from appid_manager_client import AppIdClient, Reaped, ServiceUnavailable
from tests.support.waiting import PATIENCE, wait_until


class Looks(AppIdClient):
    """A client whose journal is looked at without a service."""

    def __init__(self, journal: Path) -> None:
        super().__init__("http://127.0.0.1:9", journal=journal)
        self.count = 0
        self.error: Exception | None = None
        self.looked = threading.Event()

    def reap(self) -> tuple[Reaped, ...]:
        self.count += 1
        self.looked.set()
        if self.error is not None:
            raise self.error
        return ()


@pytest.fixture
def looks(tmp_path: Path) -> Iterator[Looks]:
    client = Looks(tmp_path / "journal")
    with client:
        yield client


@pytest.fixture
def sweeper(looks: Looks) -> Iterator[Sweeper]:
    made = Sweeper(lambda: [looks], interval=3600)
    yield made
    made.stop()
    assert "appid-sweeper" not in {thread.name for thread in threading.enumerate()}


def test_it_sweeps_when_it_starts_and_when_it_ends(sweeper: Sweeper, looks: Looks) -> None:
    sweeper.start()
    assert looks.looked.wait(PATIENCE)
    before = looks.count
    sweeper.stop()
    assert looks.count == before + 1


def test_it_can_be_started_again_after_it_was_stopped(sweeper: Sweeper, looks: Looks) -> None:
    for _ in range(2):
        looks.looked.clear()
        sweeper.start()
        sweeper.start()  # does nothing where it runs
        assert looks.looked.wait(PATIENCE)
        sweeper.stop()
    assert looks.count == 4


def test_it_sweeps_from_time_to_time(looks: Looks) -> None:
    made = Sweeper(lambda: [looks], interval=0.01)
    made.start()
    try:
        wait_until(lambda: looks.count >= 3, what="it looks again without being told")
    finally:
        made.stop()


def test_it_sweeps_until_a_child_is_gone(sweeper: Sweeper, looks: Looks) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child:
        sweeper.start()
        assert looks.looked.wait(PATIENCE)
        sweeper.watch(child.pid)
        wait_until(lambda: looks.count >= 4, what="it looks again and again")
        before_its_end = looks.count
        child.communicate(b"\n")
        wait_until(lambda: looks.count > before_its_end, what="it looks once more")


def test_it_survives_a_service_that_is_down_and_a_fault(sweeper: Sweeper, looks: Looks) -> None:
    sweeper.start()
    assert looks.looked.wait(PATIENCE)
    for error in (ServiceUnavailable("down"), RuntimeError("a fault")):
        looks.looked.clear()
        looks.error = error
        sweeper.watch(None)
        assert looks.looked.wait(PATIENCE)


def test_its_own_process_is_no_child_to_watch(sweeper: Sweeper, looks: Looks) -> None:
    sweeper.start()
    assert looks.looked.wait(PATIENCE)
    sweeper.watch(os.getpid())
    sweeper.stop()
    assert looks.count == 2

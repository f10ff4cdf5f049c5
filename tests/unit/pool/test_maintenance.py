"""The maintenance thread by itself, with rounds that a test gives it."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator

import pytest

from appid_manager_client import pool_maintenance
from appid_manager_client.clock import SystemTime
from appid_manager_client.pool_maintenance import Maintenance
from appid_manager_client.pool_model import Slot
from tests.support.waiting import PATIENCE, wait_until


class Rounds:
    """Somebody who has rounds to be done, every hour."""

    def __init__(self, system: SystemTime) -> None:
        self.done: list[Slot | None] = []
        self.maintenance = Maintenance("p", self.round, system)

    def round(self, message: Slot | None) -> float | None:
        self.done.append(message)
        return 3600.0


class SleepyTime(SystemTime):
    """A machine that sleeps for two hours as soon as its thread does, after the round that it was woken for."""

    def __init__(self) -> None:
        self._moments: Iterator[float] = itertools.chain([0.0] * 4, itertools.repeat(7200.0))

    def monotonic(self) -> float:
        return next(self._moments)


def ended(maintenance: Maintenance) -> bool:
    maintenance.stop()
    maintenance.join(PATIENCE)
    return not maintenance.running


def test_a_thread_that_slept_with_its_machine_looks_up_and_finds_that_a_round_is_overdue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_maintenance, "_SLICE", 0.01)
    rounds = Rounds(SleepyTime())
    rounds.maintenance.wake()
    wait_until(lambda: len(rounds.done) >= 3)
    assert ended(rounds.maintenance)


def test_it_does_not_keep_whom_it_works_for() -> None:
    def begin() -> Maintenance:
        rounds = Rounds(SystemTime())
        rounds.maintenance.wake()
        wait_until(lambda: rounds.done)
        return rounds.maintenance

    maintenance = begin()
    gc.collect()
    maintenance.wake()
    wait_until(lambda: not maintenance.running)

"""This machine's time: its monotonic clock, waits, sleeps and jitter."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest

from appid_manager_client.runtime.time import SystemTime


def test_jitter_neither_follows_nor_disturbs_the_program_s_own_random_numbers() -> None:
    drawn = []
    for _ in range(2):
        random.seed(7)
        drawn.append(SystemTime().uniform(0, 1))
        assert random.random() == random.Random(7).random()
    assert drawn[0] != drawn[1]
    assert all(0 <= number <= 1 for number in drawn)


def test_jitter_stays_between_its_bounds() -> None:
    drawn = {SystemTime().uniform(1, 2) for _ in range(50)}
    assert len(drawn) > 1 and all(1 <= value <= 2 for value in drawn)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="the system has no such clock")
def test_the_monotonic_time_is_that_of_the_clock_which_counts_suspensions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on a machine that was suspended: its other clocks show another time.
    with monkeypatch.context() as suspended:
        suspended.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 7200.0}.__getitem__)
        assert SystemTime().monotonic() == 7200.0


def test_a_wait_ends_when_its_event_is_set() -> None:
    event = threading.Event()
    timer = threading.Timer(0.01, event.set)
    timer.start()
    started = time.monotonic()
    assert SystemTime().wait(event, 60) is True
    assert time.monotonic() - started < 20
    timer.join()


def test_a_wait_that_is_not_interrupted_lasts_as_long_as_it_was_asked_for() -> None:
    started = time.monotonic()
    assert SystemTime().wait(threading.Event(), 0.02) is False
    assert time.monotonic() - started >= 0.0199
    assert SystemTime().wait(threading.Event(), -1) is False


class JumpingTime(SystemTime):
    """Each part of a wait finds that the machine was suspended for an hour."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 3600
        return self.now


def test_a_wait_notices_after_a_part_of_it_that_the_machine_was_suspended() -> None:
    assert JumpingTime().wait(threading.Event(), 3000) is False
    asyncio.run(JumpingTime().sleep(3000))


def test_a_coroutine_s_sleep_lasts_as_long_as_it_was_asked_for() -> None:
    started = time.monotonic()
    asyncio.run(SystemTime().sleep(0.02))
    assert time.monotonic() - started >= 0.0199

"""The worker by itself, with rounds of the tests."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from appid_manager_client.runtime import worker as worker_module
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.runtime.worker import Worker
from tests.support.waiting import PATIENCE, wait_until

HOUR = 3600.0


class Rounds:
    """The owner of a worker: records the messages of its rounds, and does `each` in each round."""

    def __init__(
        self,
        system: SystemTime | None = None,
        *,
        pause: float | None = HOUR,
        idle: Callable[[], bool] | None = None,
        each: Callable[[], object] = lambda: None,
    ) -> None:
        self.done: list[str | None] = []
        self.pause = pause
        self.each = each
        self.error: BaseException | None = None
        self.worker: Worker[str] = Worker("a test's", self.round, system or SystemTime(), idle=idle)

    def round(self, message: str | None) -> float | None:
        self.done.append(message)
        self.each()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return self.pause


class SleepyTime(SystemTime):
    """A machine that is suspended for two hours when its thread sleeps after the first round."""

    def __init__(self) -> None:
        self._times: Iterator[float] = itertools.chain([0.0] * 2, itertools.repeat(7200.0))

    def monotonic(self) -> float:
        return next(self._times)


def threads() -> int:
    return sum(thread.name == "a test's" for thread in threading.enumerate())


def end(worker: Worker[str]) -> None:
    worker.stop()
    worker.join(PATIENCE)
    assert not worker.running


def test_after_a_suspension_of_the_machine_a_round_that_is_overdue_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "LONGEST_SLEEP", 0.01)
    rounds = Rounds(SleepyTime())
    rounds.worker.wake()
    wait_until(lambda: len(rounds.done) >= 3)
    end(rounds.worker)


def test_a_worker_keeps_its_owner() -> None:
    done: list[str | None] = []

    def begin() -> Worker[str]:
        rounds = Rounds()
        rounds.done = done
        rounds.worker.wake()
        return rounds.worker

    worker = begin()
    gc.collect()
    worker.post("still here")
    wait_until(lambda: "still here" in done)
    end(worker)


def test_each_message_gets_a_round_of_its_own() -> None:
    rounds = Rounds()
    rounds.worker.wake()
    wait_until(lambda: rounds.done)
    for message in ("a", "b"):
        rounds.worker.post(message)
    wait_until(lambda: "b" in rounds.done)
    assert [message for message in rounds.done if message] == ["a", "b"]
    end(rounds.worker)


def test_a_message_gets_its_round_although_the_next_one_is_due_at_once() -> None:
    rounds = Rounds(pause=0.0)
    rounds.worker.wake()
    rounds.worker.post("hear me")
    wait_until(lambda: "hear me" in rounds.done)
    end(rounds.worker)


def test_a_round_that_fails_is_logged_and_followed_by_another(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_PAUSE_AFTER_FAILURE", 0.01)
    rounds = Rounds()
    rounds.error = ValueError("for once")
    rounds.worker.wake()
    wait_until(lambda: len(rounds.done) >= 2)
    assert "a round of the thread a test's failed" in caplog.text
    end(rounds.worker)


def test_a_thread_that_was_ended_is_started_again_with_the_next_need(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    rounds = Rounds()
    rounds.error = SystemExit(3)
    rounds.worker.wake()
    wait_until(lambda: not rounds.worker.running)
    assert "ended: SystemExit(3); it starts again when needed" in caplog.text
    rounds.worker.wake()
    wait_until(lambda: len(rounds.done) >= 2)
    end(rounds.worker)


def test_without_work_it_ends_after_a_while_and_no_work_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "LINGER", 0.0)
    work = list(range(300))

    def do_some() -> None:
        if work:
            work.pop()

    rounds = Rounds(pause=None, idle=lambda: not work, each=do_some)
    while work:
        left = len(work)
        rounds.worker.wake()  # just as its thread may be about to end
        wait_until(lambda: len(work) < left)
        assert threads() <= 1
    wait_until(lambda: not rounds.worker.running and not threads())


def test_with_work_it_stays_although_nothing_is_scheduled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "LINGER", 0.0)
    rounds = Rounds(pause=None, idle=lambda: False)
    rounds.worker.wake()
    wait_until(lambda: len(rounds.done) >= 3)
    assert rounds.worker.running
    end(rounds.worker)

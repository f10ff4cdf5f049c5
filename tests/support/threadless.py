"""Executors and workers without threads, for tests that turn the clock by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from appid_manager_client.runtime.executor import Call, Executor
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.runtime.worker import Worker

T = TypeVar("T")


class InlineExecutor(Executor):
    """Carries each call out where it is submitted; interrupts strike whoever submitted it."""

    def __init__(self, system: SystemTime) -> None:
        super().__init__("inline", 1, system)

    def start(self, work: Callable[[], T]) -> Call[T]:
        call = Call(work)
        call.run()
        if call.error is not None and not isinstance(call.error, Exception):
            raise call.error
        return call


class IdleWorker(Worker[Callable[[], object]]):
    """A worker that does no round: the test calls `run_once` itself."""

    def __init__(self, system: SystemTime) -> None:
        super().__init__("idle", lambda message: None, system)

    def wake(self) -> None:
        """Nothing is done."""

    def start(self) -> bool:
        """There is no thread."""
        return False

    def post(self, message: Callable[[], object] | None) -> None:
        """Nothing is done."""

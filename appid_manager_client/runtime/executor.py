"""Threads that carry a call to its end, whoever stops waiting for it.

Signals, time limits and cancelled tasks strike the thread or coroutine that waits; the call goes on in a helper.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from . import forks
from .time import SystemTime

T = TypeVar("T")

_INTERRUPTS_ENDURED = 3


class Helpers:
    """A bounded set of helper threads, started on demand, anew in a forked child."""

    def __init__(self, name: str, limit: int, system: SystemTime) -> None:
        self._system = system
        self._name = name
        self._limit = limit
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None  # guarded by _lock
        self._pid = 0
        self._closed = False
        forks.register(self)

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._executor = None

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have `work` done by a helper; inline after `close()`, and while the interpreter shuts down."""
        executor = self._running()
        if executor is None:
            return _done_inline(work)
        try:
            return executor.submit(work)
        except RuntimeError:
            return _done_inline(work)

    def _running(self) -> ThreadPoolExecutor | None:
        """The executor of this process, or `None` after `close()`: its threads would have nobody to end them."""
        with self._lock:
            if self._closed:
                return None
            if self._executor is None or self._pid != os.getpid():
                self._executor = ThreadPoolExecutor(self._limit, thread_name_prefix=self._name)
                self._pid = os.getpid()
            return self._executor

    def run_shielded(self, work: Callable[[], T], bound: float) -> T:
        """Do `work`, and don't come back before it is done, or `bound` seconds have passed.

        An interrupt (a signal's exception, a task's time limit) is raised only then; the third one at once.

        Raises:
            TimeoutError: the bound has passed; the work goes on.
        """
        future = self.submit(work)
        deadline = self._system.monotonic() + bound
        interrupts: list[BaseException] = []
        while not future.done() and len(interrupts) < _INTERRUPTS_ENDURED:
            left = deadline - self._system.monotonic()
            if left <= 0:
                break
            try:
                wait([future], left)
            except BaseException as interrupt:
                interrupts.append(interrupt)
        if interrupts:
            raise interrupts[0]
        return future.result(0)

    def close(self) -> None:
        """Let the helpers end when their work is done; doesn't wait for them."""
        with self._lock:
            self._closed = True
            executor, self._executor = self._executor, None
        if executor is not None and self._pid == os.getpid():
            executor.shutdown(wait=False)


def _done_inline(work: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
    return future

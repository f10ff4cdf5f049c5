"""One daemon thread that works in rounds, for whoever has something to do from time to time.

It is started with the first need, started again if it died, and ends with its owner. It owns the
thread and its messages, and knows nothing of what a round does.
"""

from __future__ import annotations

import logging
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from . import forks
from .time import SystemTime

logger = logging.getLogger("appid_manager_client")

MessageT = TypeVar("MessageT")

_SLICE = 20.0
"""The longest sleep without a look at the clock, in seconds: the machine may have been suspended."""

_LINGER = 2.0
"""Seconds that a thread without work waits for more before it ends."""

_PAUSE_AFTER_FAILURE = 1.0


class Worker(Generic[MessageT]):
    """A thread that calls `work(message)` for each message, and whenever a round is due.

    A round returns the seconds until the next one is due, or `None` if nothing is scheduled. What
    it raises is logged, and there is a next round.

    Args:
        name: the thread's name; it says whose it is.
        work: one round. It gets a message, or `None` where it is due by itself or was woken.
        system: the clock.
        idle: whether there is nothing to do; asked under the lock before a thread ends that has
            nothing scheduled. What there is to do must be known to it before `wake()` is called.
            `None`: the thread stays until it is stopped.
        weakly: whether to keep the owner of `work`, a bound method, only by a weak reference; the
            thread ends after its owner was garbage-collected.

    Attributes:
        running: whether there is a thread, as far as is known. Read without the lock.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[MessageT | None], float | None],
        system: SystemTime,
        *,
        idle: Callable[[], bool] | None = None,
        weakly: bool = False,
    ) -> None:
        self._name = name
        self._work = weakref.WeakMethod(work) if weakly else lambda: work
        self._system = system
        self._idle = idle
        self._start_afresh()
        forks.register(self)

    def _start_afresh(self) -> None:
        self._inbox: queue.SimpleQueue[MessageT | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        # Guarded by _lock: the thread, its start, and its end for want of work.
        self._thread: threading.Thread | None = None
        self.running = False
        self._woken = False
        self._stopped = False

    def after_fork_in_child(self) -> None:
        """Forget the thread and its messages: they are the parent's."""
        self._start_afresh()

    def wake(self) -> None:
        """Have a round done soon; starts the thread if it isn't there."""
        # A thread that may end for want of work is only known to live under the lock.
        if (self._idle is not None or not self.running) and not self.start():
            return
        if not self._woken:
            self._woken = True
            self._inbox.put(None)

    def tell(self, message: MessageT | None) -> None:
        """Have a round done for `message` if the thread runs. Takes no lock: safe in a `__del__`."""
        self._inbox.put(message)

    def stop(self) -> None:
        """Have the thread end after the present round. Takes no lock."""
        self._stopped = True
        self._inbox.put(None)

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, for so many seconds at the most."""
        with self._lock:  # not while it is being started
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def start(self) -> bool:
        """Start the thread if it isn't there; its first round is due at once. Says if it runs."""
        with self._lock:
            if self.running:
                return True
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            # Before the start: a thread that dies at once takes it back.
            self.running = True
            try:
                self._thread.start()
            except RuntimeError:
                # The interpreter shuts down, and its exit handlers do what is left; or the
                # machine has no thread left, and the next one who wakes it tries again.
                self.running = False
                self._thread = None
                return False
        return True

    def _run(self) -> None:
        inbox = self._inbox
        message: MessageT | None = None
        on = True
        try:
            while on and not self._stopped and (work := self._work()) is not None:
                pause = self._round(work, message)
                del work
                on, message = self._next(inbox, pause)
        except BaseException as error:
            # SystemExit, for one: Python lets it end a thread without a word.
            logger.error("the thread %s ends, until it is needed again: %r", self._name, error)
            raise
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self.running = False

    def _round(
        self, work: Callable[[MessageT | None], float | None], message: MessageT | None
    ) -> float | None:
        self._woken = False
        try:
            return work(message)
        except Exception:
            logger.exception("a round of the thread %s failed; the thread goes on", self._name)
            return _PAUSE_AFTER_FAILURE

    def _next(
        self, inbox: queue.SimpleQueue[MessageT | None], pause: float | None
    ) -> tuple[bool, MessageT | None]:
        """Sleep until there is a message or a round is due. Returns whether to go on, and it.

        The seconds of a suspended machine count.
        """
        if pause is None and self._idle is None:
            return True, inbox.get()
        left = _LINGER if pause is None else pause
        deadline = self._system.monotonic() + left
        while True:
            try:
                return True, inbox.get(timeout=max(0.0, min(left, _SLICE)))
            except queue.Empty:
                left = deadline - self._system.monotonic()
                if left <= 0:
                    return pause is not None or not self._end_if_idle(inbox), None

    def _end_if_idle(self, inbox: queue.SimpleQueue[MessageT | None]) -> bool:
        with self._lock:
            if self._idle is None or not inbox.empty() or not self._idle():
                return False
            self.running = False
            self._thread = None
            return True

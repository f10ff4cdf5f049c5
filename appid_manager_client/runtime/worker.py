"""A daemon thread that works in rounds, for objects that have something to do from time to time.

Owns the thread and its queue of messages: the thread starts when it is first needed, starts again
if it died, and ends with its owner. What a round does is for the owner.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..text import get_logger
from . import forks
from .executor import is_shutting_down
from .time import LONGEST_SLEEP, SystemTime

logger = get_logger()

MessageT = TypeVar("MessageT")

LINGER = 2.0
"""Seconds for which a thread without work waits for more before it ends."""

_PAUSE_AFTER_FAILURE = 1.0
"""Seconds until the next round after one that raised."""


class Worker(Generic[MessageT]):
    """A thread that calls `work(message)` for each message, and whenever a round is due.

    A round returns the seconds until the next one is due, or `None` if nothing is scheduled. An
    exception of a round is logged, and another round follows.

    Args:
        name: the thread's name; it says whose it is.
        work: one round. Its argument is a message, or `None` where the round is due or `wake()`
            was called.
        system: the clock.
        idle: returns whether there is nothing to do. A thread that has nothing scheduled calls it,
            under the lock, and ends if it is idle. So whoever adds work does that first and calls
            `wake()` afterwards. `None`: the thread stays until it is stopped.

    Attributes:
        running: whether there is a thread, as far as is known without taking the lock.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[MessageT | None], float | None],
        system: SystemTime,
        *,
        idle: Callable[[], bool] | None = None,
    ) -> None:
        self._name = name
        self._work = work
        self._system = system
        self._idle = idle
        self._start_afresh()
        forks.register(self._after_fork_in_child)

    def _start_afresh(self) -> None:
        # What blocks is made with the first need: until then, gevent may replace its kind.
        self._inbox: queue.SimpleQueue[MessageT | None] | None = None
        vars(self).pop("_lock", None)
        # Guarded by the lock: the thread, its start, and its end when there is no work.
        self._thread: threading.Thread | None = None
        self.running = False
        self._woken = False
        self._stopped = False
        self._linger = LINGER

    def _after_fork_in_child(self) -> None:
        """Forget the thread and its messages: they are the parent's."""
        self._start_afresh()

    def wake(self) -> None:
        """Have a round done soon. Starts the thread if there is none."""
        # A thread that ends when it is idle may be ending: only start(), under the lock, knows.
        if (self._idle is not None or not self.running) and not self.start():
            return
        if not self._woken:
            self._woken = True
            self.post(None)

    def post(self, message: MessageT | None) -> None:
        """Have a round done for `message`, if the thread runs.

        Takes no lock, so that a `__del__` can call it.
        """
        inbox = self._inbox
        if inbox is not None:
            inbox.put(message)

    def stop(self) -> None:
        """Have the thread end after the present round. Takes no lock."""
        self._stopped = True
        self.post(None)

    def stop_when_idle(self) -> None:
        """Have the thread end as soon as there is nothing to do, now and from now on."""
        self._linger = 0.0
        self.post(None)

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, at most for `seconds`."""
        with self._guard():  # not between the making of the thread and its start
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def start(self) -> bool:
        """Start the thread if there is none. Its first round is due at once.

        Returns:
            Whether the thread runs.
        """
        with self._guard():
            if self.running:
                return True
            if self._inbox is None:
                self._inbox = queue.SimpleQueue()
            self._thread = threading.Thread(
                target=self._run, args=(self._inbox,), name=self._name, daemon=True
            )
            # Before the start: a thread that dies at once sets it to False again.
            self.running = True
            try:
                self._thread.start()
            except (RuntimeError, MemoryError) as error:
                self.running = False
                self._thread = None
                if not is_shutting_down(error):
                    logger.warning(
                        "the thread %s can't be started, and is tried again when needed: %s",
                        self._name,
                        error,
                    )
                return False
        return True

    def _guard(self) -> threading.Lock:
        lock: threading.Lock = vars(self).setdefault("_lock", threading.Lock())
        return lock

    def _run(self, inbox: queue.SimpleQueue[MessageT | None]) -> None:
        message: MessageT | None = None
        on = True
        try:
            while on and not self._stopped:
                pause = self._round(message)
                on, message = self._next(inbox, pause)
        except BaseException as error:
            # Python does not report a SystemExit that ends a thread.
            logger.error("the thread %s ended: %r; it starts again when needed", self._name, error)
            raise
        finally:
            with self._guard():
                if self._thread is threading.current_thread():
                    self.running = False

    def _round(self, message: MessageT | None) -> float | None:
        self._woken = False
        try:
            return self._work(message)
        except Exception:
            logger.exception("a round of the thread %s failed; the thread continues", self._name)
            return _PAUSE_AFTER_FAILURE

    def _next(
        self, inbox: queue.SimpleQueue[MessageT | None], pause: float | None
    ) -> tuple[bool, MessageT | None]:
        """Sleep until there is a message or a round is due; seconds of a suspended machine count.

        Returns:
            Whether to go on, and the message.
        """
        if pause is None and self._idle is None:
            return True, inbox.get()
        left = self._linger if pause is None else pause
        deadline = self._system.monotonic() + left
        while True:
            try:
                return True, inbox.get(timeout=max(0.0, min(left, LONGEST_SLEEP)))
            except queue.Empty:
                left = deadline - self._system.monotonic()
                if left <= 0:
                    return pause is not None or not self._end_if_idle(inbox), None

    def _end_if_idle(self, inbox: queue.SimpleQueue[MessageT | None]) -> bool:
        with self._guard():
            if self._idle is None or not inbox.empty() or not self._idle():
                return False
            self.running = False
            self._thread = None
            return True

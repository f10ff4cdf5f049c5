"""The thread that keeps a pool's time: started with the first need, started again if it died, ended with its pool.

It owns the thread and its messages, and knows nothing of what a round does. It doesn't keep its pool alive.
"""

from __future__ import annotations

import logging
import queue
import threading
import weakref
from collections.abc import Callable

from .clock import SystemTime
from .pool_model import Slot

logger = logging.getLogger("appid_manager_client")

_SLICE = 20.0
_PAUSE_AFTER_FAILURE = 1.0

Round = Callable[[Slot | None], float | None]
"""One round of maintenance, given a lease that was forgotten: says after how many seconds the next is due."""


class Maintenance:
    """The maintenance thread of one pool, in one process.

    Attributes:
        running: whether there is a thread, as far as is known. Read without the lock, on the way of every return.
    """

    def __init__(self, product_name: str, work: Round, system: SystemTime) -> None:
        self._product_name = product_name
        self._work = weakref.WeakMethod(work)
        self._system = system
        self._inbox: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        # Guarded by _lock: the thread, and its start.
        self._thread: threading.Thread | None = None
        self.running = False
        self._woken = False
        self._over = False

    def wake(self) -> None:
        """Have the thread do a round; start it if it isn't there."""
        if not self.running and not self._start():
            return
        if not self._woken:
            self._woken = True
            self._inbox.put(None)

    def tell(self, slot: Slot) -> None:
        """Have the thread do a round for what was forgotten. Takes no lock: safe in a `__del__`."""
        self._inbox.put(slot)

    def stop(self) -> None:
        """Have the thread end. Takes no lock."""
        self._over = True
        self._inbox.put(None)

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, for so long at the most."""
        with self._lock:  # not while it is being started
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def _start(self) -> bool:
        with self._lock:
            if self.running:
                return True
            self._thread = threading.Thread(
                target=self._run, name=f"appid-pool {self._product_name}", daemon=True
            )
            # Before the start: a thread that dies at once takes it back.
            self.running = True
            try:
                self._thread.start()
            except RuntimeError:
                # The interpreter is shutting down, and the keeper gives everything back; or the machine has no
                # thread left, and those who wait try again.
                self.running = False
                self._thread = None
                return False
        return True

    def _run(self) -> None:
        message: Slot | None = None
        try:
            while not self._over and (work := self._work()) is not None:
                pause = self._round(work, message)
                del work
                message = self._next_message(pause)
        except BaseException as error:
            # SystemExit, for one: Python lets it end a thread without a word.
            name = threading.current_thread().name
            logger.error("the thread %s ends, until it is needed again: %r", name, error)
            raise
        finally:
            self.running = False

    def _round(self, work: Round, message: Slot | None) -> float | None:
        """Whatever fails in a round, there is a next one."""
        self._woken = False
        try:
            return work(message)
        except Exception:
            logger.exception(
                "the maintenance of the pool of %s failed, and goes on", self._product_name
            )
            return _PAUSE_AFTER_FAILURE

    def _next_message(self, pause: float | None) -> Slot | None:
        """Sleep until there is a message, or `pause` seconds have passed, those of a suspended machine included."""
        if pause is None:
            return self._inbox.get()
        deadline = self._system.monotonic() + pause
        while (left := deadline - self._system.monotonic()) > 0:
            try:
                return self._inbox.get(timeout=min(left, _SLICE))
            except queue.Empty:
                continue
        return None

"""The daemon thread that works for a keeper while there is work, and ends when there is none."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

logger = logging.getLogger("appid_manager_client")

_LINGER = 2.0
_AFTER_FAILURE = 1.0


class Background:
    """Calls `tend()` again and again, pausing for as many seconds as it says; `None` means that nothing is left.

    `idle()` is asked before the thread ends, under the lock that `wake` takes too: no work is left behind.
    """

    def __init__(
        self, name: str, tend: Callable[[], float | None], idle: Callable[[], bool]
    ) -> None:
        self._name = name
        self._tend = tend
        self._idle = idle
        self.start_afresh()

    def start_afresh(self) -> None:
        """For a forked child: the thread is the parent's."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None  # guarded by _lock
        self._pokes: queue.SimpleQueue[None] = queue.SimpleQueue()

    def wake(self) -> None:
        """Have the thread look at what there is to do; start it if it isn't there."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return  # the interpreter is shutting down: the exit handler does the work
                self._thread = thread
        self.poke()

    def poke(self) -> None:
        """Have the thread look again if it runs. Takes no lock: safe in a `__del__`."""
        self._pokes.put(None)

    def _run(self) -> None:
        pokes = self._pokes
        while True:
            try:
                pause = self._tend()
            except Exception:
                logger.exception("the keeper failed, and goes on")
                pause = _AFTER_FAILURE
            try:
                pokes.get(timeout=_LINGER if pause is None else pause)
            except queue.Empty:
                with self._lock:
                    if pause is None and pokes.empty() and self._idle():
                        self._thread = None
                        return

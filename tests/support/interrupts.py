"""Interrupts of the main thread at a time that the test chooses, between any two instructions."""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Self

from .waiting import PATIENCE


class Interrupt(BaseException):
    """What the signal's handler raises, as a task's time limit or a Ctrl-C does."""


class Interrupter:
    """Raises an `Interrupt` in the main thread, by a real signal, within its `with` block.

    The test must stay inside a `try` until the interrupt has come; it calls `wait` at the end of
    that. `PyThreadState_SetAsyncExc` is no alternative: it hangs a traced interpreter.
    """

    def __init__(self) -> None:
        self._waits: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._target = threading.get_ident()
        self._sender = threading.Thread(target=self._send, name="interrupter", daemon=True)

    def __enter__(self) -> Self:
        assert (
            threading.current_thread() is threading.main_thread()
        ), "signals go to the main thread"
        self._previous = signal.signal(signal.SIGUSR1, _raise)
        self._sender.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._waits.put(None)
        self._sender.join()
        signal.signal(signal.SIGUSR1, self._previous)

    def strike_after(self, wait: Callable[[], object]) -> None:
        """Interrupt when `wait()` has returned. It is called in another thread."""
        self._waits.put(wait)

    def strike_in(self, seconds: float) -> None:
        """Interrupt after that many seconds."""
        self._waits.put(lambda: time.sleep(seconds))

    def wait(self) -> None:
        """Wait for the interrupt, in short sleeps: a signal just before a sleep does not end it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            time.sleep(0.001)
        raise AssertionError("the interrupt never came, or was swallowed")

    def _send(self) -> None:
        while (wait := self._waits.get()) is not None:
            wait()
            signal.pthread_kill(self._target, signal.SIGUSR1)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupt


class Striker:
    """Raises an `Interrupt` at the `nth` point in its block where Python can run a signal handler.

    Counts the points in code of files below `root`, in the main thread. Python runs handlers when a
    function begins and when a call of C code returns; a profiler is called at the same points.
    `where` names the point, and is `None` if there are fewer.
    """

    def __init__(self, nth: int, root: str) -> None:
        self._left = nth
        self._root = root
        self.where: str | None = None

    def __enter__(self) -> Self:
        sys.setprofile(self._at)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.setprofile(None)

    def _at(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        # An exception of a __del__ is dropped.
        if event not in ("call", "c_return") or code.co_name == "__del__":
            return
        if not code.co_filename.startswith(self._root):
            return
        self._left -= 1
        if not self._left:
            self.where = f"{event} in {code.co_name}, line {frame.f_lineno} of {code.co_filename}"
            raise Interrupt

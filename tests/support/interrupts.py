"""Interrupts that strike the main thread when a test chooses: a real signal, between any two instructions."""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from .waiting import PATIENCE

Moment = Callable[[], object]


class Interrupt(BaseException):
    """What the signal's handler raises, as a task's time limit or a Ctrl-C does."""


class Interrupter:
    """Within its block, `strike_after(moment)` raises an `Interrupt` in the main thread once `moment()` has returned.

    The test stays inside a `try` until it came, by calling `wait` at its end. Not by `PyThreadState_SetAsyncExc`: that
    hangs a traced interpreter.
    """

    def __init__(self) -> None:
        self._moments: queue.SimpleQueue[Moment | None] = queue.SimpleQueue()
        self._target = threading.get_ident()
        self._sender = threading.Thread(target=self._send, name="interrupter", daemon=True)

    def __enter__(self) -> Self:
        assert (
            threading.current_thread() is threading.main_thread()
        ), "signals go to the main thread"
        self._previous = signal.signal(signal.SIGUSR1, _raise)
        self._sender.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._moments.put(None)
        self._sender.join()
        signal.signal(signal.SIGUSR1, self._previous)

    def strike_after(self, moment: Moment) -> None:
        """Strike when `moment()` has returned, which is called in another thread."""
        self._moments.put(moment)

    def strike_in(self, seconds: float) -> None:
        """Strike that many seconds from now."""
        self._moments.put(lambda: time.sleep(seconds))

    def wait(self) -> None:
        """Be struck here at the latest. In slices: a signal just before a sleep does not cut it short."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            time.sleep(0.001)
        raise AssertionError("the interrupt never came, or was swallowed")

    def _send(self) -> None:
        while (moment := self._moments.get()) is not None:
            moment()
            signal.pthread_kill(self._target, signal.SIGUSR1)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupt


class Striker:
    """Raises an `Interrupt` at the `nth` moment in its block at which a signal can strike in the code below `root`.

    Python looks for signals when a function begins and when a call of C code returns: the moments that a profiler is
    told of, too. In the main thread alone; `where` says which it was, and is `None` if there are fewer.
    """

    def __init__(self, nth: int, root: str) -> None:
        self._left = nth
        self._root = root
        self.where: str | None = None

    def __enter__(self) -> Self:
        sys.setprofile(self._at)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.setprofile(None)

    def _at(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        # What a __del__ raises goes nowhere.
        if event not in ("call", "c_return") or code.co_name == "__del__":
            return
        if not code.co_filename.startswith(self._root):
            return
        self._left -= 1
        if not self._left:
            self.where = f"{event} in {code.co_name}, line {frame.f_lineno} of {code.co_filename}"
            raise Interrupt

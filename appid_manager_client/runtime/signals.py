"""Signals that become exceptions, so that a process which is told to end releases its leases.

All handlers that raise are set through this module. Python runs a handler in the main thread,
between any two instructions: no handler here takes a lock.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import NoReturn, Self

from ..errors import ConfigurationError

Handler = Callable[[int, FrameType | None], object]
"""What `signal.signal` takes: called with the signal's number and the interrupted frame."""

EXIT_BASE = 128
"""A process that ends because of a signal exits with this plus the signal's number."""


def release_on_termination() -> None:
    """Have SIGTERM and SIGHUP raise `SystemExit(128 + signal)` in the main thread.

    The program's `with` and `finally` blocks then end as on any exception, exit handlers run, and
    all leases are released. A handler that was set before is called first. An ignored signal stays
    ignored. Calling this again changes nothing.

    Raises:
        ConfigurationError: not called in the main thread; Python sets handlers only there.
    """
    if not signals_strike_here():
        raise ConfigurationError("release_on_termination() must be called in the main thread")
    names = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    exit_on(*(getattr(signal, name) for name in names if hasattr(signal, name)))


def raise_exit(number: int, frame: FrameType | None) -> NoReturn:
    """A handler that ends the process: raises `SystemExit(128 + number)`."""
    raise SystemExit(EXIT_BASE + number)


def exit_on(*numbers: int) -> None:
    """Have each of these signals raise `SystemExit(128 + number)` from now on. Main thread only.

    The handler that was set before is called first. An ignored signal stays ignored.
    """
    for number in numbers:
        previous = signal.getsignal(number)
        if previous is not signal.SIG_IGN and not isinstance(previous, _Exit):
            signal.signal(number, _Exit(previous if callable(previous) else None))


def signals_strike_here() -> bool:
    """Whether a signal's exception can interrupt the calling thread: only the main thread."""
    return threading.current_thread() is threading.main_thread()


def interrupts_strike_here() -> bool:
    """Whether the calling code can be interrupted from outside, between any two instructions.

    So it is in the main thread, by signals; in every greenlet, by the time limits of gevent and its
    like, which put locks of their own in the place of Python's; and in any thread of a program that
    has `ctypes`, by which dramatiq, RQ and debuggers throw exceptions into threads.
    """
    return (
        signals_strike_here() or threading.Lock.__module__ != "_thread" or "ctypes" in sys.modules
    )


class _Exit:
    """The handler of `exit_on`."""

    def __init__(self, previous: Handler | None) -> None:
        self._previous = previous

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        if self._previous is not None:
            self._previous(number, frame)
        raise_exit(number, frame)


@contextmanager
def sigterm_raises(handler: Handler = raise_exit) -> Iterator[None]:
    """Within the block, have SIGTERM call `handler`, which raises, instead of ending the process.

    Changes nothing where the program decides about SIGTERM itself (it has a handler, or ignores
    the signal), nor outside the main thread, where no handler can be set.
    """
    with TemporaryHandlers() as handlers:
        if signals_strike_here() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            handlers.set(signal.SIGTERM, handler)
        yield


class TemporaryHandlers:
    """Signal handlers for the length of a `with` block, which puts the earlier ones back."""

    def __init__(self) -> None:
        self._earlier: dict[int, Handler | int] = {}

    def set(self, number: int, handler: Handler) -> None:
        """Have `handler` called for a signal. Main thread only."""
        earlier = signal.signal(number, handler)
        # None: the earlier handler was not set from Python, and Python cannot put it back.
        self._earlier.setdefault(number, signal.SIG_DFL if earlier is None else earlier)

    def set_unless_ignored(self, number: int, handler: Handler) -> None:
        """The same, but a signal that is ignored stays ignored."""
        if signal.getsignal(number) is not signal.SIG_IGN:
            self.set(number, handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

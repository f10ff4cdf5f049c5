"""Leases on SIGTERM and SIGHUP: the signal becomes a `SystemExit`, so that every block ends as on any exception."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from ..errors import ConfigurationError

_installed: set[int] = set()


def release_on_termination() -> None:
    """Have SIGTERM and SIGHUP end this process by `SystemExit(128 + signal)` in the main thread.

    Blocks are left then, and exit handlers run, so that leases are given back. A handler that was there before is
    called first; a signal that was ignored stays ignored. Calling it again changes nothing.

    Raises:
        ConfigurationError: not called in the main thread, where alone handlers can be set.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError("release_on_termination() must be called in the main thread")
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and number not in _installed:
            _install(number)


def _install(number: int) -> None:
    previous = signal.getsignal(number)
    if previous is signal.SIG_IGN:
        return

    def end(received: int, frame: FrameType | None) -> None:
        # No lock is taken here: this may run between any two instructions of the main thread.
        if callable(previous):
            previous(received, frame)
        raise SystemExit(128 + received)

    signal.signal(number, end)
    _installed.add(number)

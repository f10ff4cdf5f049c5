"""One line on a terminal that says what an acquire waits for, and counts the seconds down."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from types import TracebackType
from typing import TextIO

from ..events import Event, EventKind
from ..runtime.time import SystemTime
from ..runtime.worker import Worker
from .output import format_duration, format_time, printable

_STOP_WITHIN = 2.0
"""Seconds that `stop` waits for a terminal that takes no output (Ctrl-S)."""


class Countdown:
    """Shows on stderr what a client waits for and how long. Without a terminal it does nothing.

    Pass it to a client as `on_event`, and leave its `with` block before writing anything else to
    the terminal.
    """

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._system = SystemTime()
        self._enabled = _is_terminal(self._stream)
        self._worker: Worker[None] = Worker("appid-countdown", self._draw, self._system)
        self._shown = False  # used by the worker's thread, and by `stop` after that has ended
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._waiting: Event | None = None
        self._until = 0.0
        self._stopped = False

    def __enter__(self) -> Countdown:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __call__(self, event: Event) -> None:
        """Note the begin or the end of a wait. Called on the client's threads."""
        if not self._enabled:
            return
        with self._lock:
            if event.kind is EventKind.WAITING and not self._stopped:
                self._waiting = event
                self._until = self._system.monotonic() + (event.seconds or 0.0)
            elif event.kind in (EventKind.ACQUIRED, EventKind.EXHAUSTED) and self._waiting:
                self._waiting = None
            else:
                return
        self._worker.wake()

    def stop(self) -> None:
        """Clear the line, and write nothing from now on."""
        with self._lock:
            self._stopped = True
            self._waiting = None
        self._worker.stop()
        self._worker.join(_STOP_WITHIN)
        if not self._worker.running:
            self._draw(None)

    def _draw(self, _: None) -> float | None:
        """Write the line as it is now, or clear it. Returns the seconds until it changes."""
        with self._lock:
            waiting, until = self._waiting, self._until
        if waiting is not None:
            self._write(_line(waiting, until - self._system.monotonic()))
        elif self._shown:
            self._write("")
        self._shown = waiting is not None
        return None if waiting is None else 1.0

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._stream.write(f"\r{line[: columns - 1]}\x1b[K")
            self._stream.flush()


def _line(event: Event, left: float) -> str:
    """What matters most comes first: a narrow terminal cuts off the rest."""
    if event.available_at is None:
        when = f"next try in {format_duration(left)}"
    else:
        at = format_time(event.available_at, date=False)
        when = f"next chance in {format_duration(left)}, at {at}"
    return f"waiting for {printable(event.product_name)}: {when} ({printable(event.reason)})"


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (ValueError, OSError):  # it is closed
        return False

"""Says on stderr what an acquire waits for: a line that counts down, or a line now and then.

On a terminal the seconds count down in one line, which is cleared in the end. Elsewhere a line
comes when a wait begins, when its reason or end changes, and once a minute (later every ten).
"""

from __future__ import annotations

import contextlib
import os
import sys
from types import TracebackType
from typing import TextIO

from ..events import Event, EventKind
from ..runtime.time import SystemTime
from ..runtime.worker import Worker
from ..text import printable
from .output import format_duration, format_time, write_error, write_error_json

_STOP_WITHIN = 2.0
"""Seconds that `stop` waits for a terminal that takes no output (Ctrl-S)."""

_MINUTE = 60.0


class Countdown:
    """Shows on stderr what a client waits for and how long.

    Pass it to a client as `on_event`, and leave its `with` block before writing anything else to
    the terminal.

    Args:
        as_json: where stderr is no terminal, write JSON objects.
    """

    def __init__(self, *, as_json: bool = False, system: SystemTime | None = None) -> None:
        self._stream = sys.stderr
        self._system = system or SystemTime()
        self._lines = None if _is_terminal(self._stream) else Lines(self._system, as_json=as_json)
        self._worker: Worker[None] = Worker("appid-countdown", self._draw, self._system)
        self._shown = False  # used by the worker's thread, and by `stop` after that has ended
        # What is waited for, and until when: replaced as a whole, by the client's threads.
        self._wait: tuple[Event, float] | None = None

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
        if event.kind is EventKind.WAITING:
            self._wait = event, self._system.monotonic() + (event.seconds or 0.0)
        elif event.kind in (EventKind.ACQUIRED, EventKind.EXHAUSTED) and self._wait is not None:
            self._wait = None
        else:
            return
        self._worker.wake()

    def stop(self) -> None:
        """Clear the line, and write nothing from now on."""
        self._worker.stop()
        self._worker.join(_STOP_WITHIN)
        if not self._worker.running:
            self._clear()

    def _draw(self, _: None) -> float | None:
        """Write what is due now, or clear it. Returns the seconds until more is due."""
        wait = self._wait
        if wait is None:
            self._clear()
            return None
        waiting, until = wait
        left = until - self._system.monotonic()
        if self._lines is not None:
            return self._lines.write(waiting, left)
        self._shown = True
        self._redraw(describe(waiting, left))
        return 1.0

    def _clear(self) -> None:
        if self._shown:
            self._shown = False
            self._redraw("")

    def _redraw(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._stream.write(f"\r{line[: columns - 1]}\x1b[K")
            self._stream.flush()


class Lines:
    """Writes what an acquire waits for as lines: at the start, at a change, and now and then."""

    def __init__(self, system: SystemTime, *, as_json: bool = False) -> None:
        self._system = system
        self._as_json = as_json
        self._said: tuple[object, ...] | None = None
        self._began = 0.0
        self._next = 0.0

    def write(self, waiting: Event, left: float) -> float:
        """Write a line if one is due. Returns the seconds until the next one is."""
        now = self._system.monotonic()
        end = None if waiting.available_at is None else round(waiting.available_at)
        what = (waiting.product_name, waiting.reason, end)
        if self._said is None:
            self._began = now
        if what != self._said or now >= self._next:
            self._said = what
            minutes = 1 if now - self._began < 10 * _MINUTE else 10
            self._next = now + minutes * _MINUTE
            self._write(waiting, left)
        return self._next - now

    def _write(self, waiting: Event, left: float) -> None:
        if not self._as_json:
            write_error(describe(waiting, left))
            return
        facts: dict[str, object] = {"waiting": waiting.product_name, "reason": waiting.reason}
        if waiting.seconds is not None:
            facts["seconds"] = max(0, round(left))
        if waiting.available_at is not None:
            facts["availableAt"] = round(waiting.available_at * 1000)
        write_error_json(facts)


def describe(event: Event, left: float) -> str:
    """What a wait is for. What matters most comes first: a narrow terminal cuts off the rest."""
    if event.seconds is None:
        return f"waiting for {printable(event.product_name)}: {printable(event.reason)}"
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

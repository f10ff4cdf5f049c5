"""What the command line writes: lines, tables and JSON on stdout; one-line errors and the countdown on stderr.

Text that came from a service is made harmless for a terminal. A closed stdout is an error, a closed stderr is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, TextIO

from ..events import Event, EventKind
from ..runtime.time import SystemTime

PROGRAM = "appid-manager"
_LAST_WORDS = 2.0


def printable(text: object) -> str:
    """`text` without anything that moves a terminal's cursor or starts a new line."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text)
    )


def say(text: str) -> None:
    """Write one line to stdout, at once.

    Raises:
        OSError: it can't be written (`BrokenPipeError`: nobody reads it).
    """
    if sys.stdout is None:
        raise OSError("standard output is closed")
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Write `value` to stdout as JSON on one line."""
    say(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def complain(message: object) -> None:
    """Write one line to stderr, if anybody listens there."""
    line = " ".join(str(message).split())
    _to_stderr(f"{PROGRAM}: {printable(line)}")


def complain_json(facts: dict[str, object]) -> None:
    """The same as a JSON object."""
    _to_stderr(json.dumps(facts, ensure_ascii=False))


def _to_stderr(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under headings, columns as wide as they need."""
    cells = [list(headings)] + [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def moment(seconds: float | None, *, date: bool = True) -> str:
    """A time in epoch seconds, in this machine's time zone; `-` for none."""
    if seconds is None:
        return "-"
    try:
        form = "%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S"
        return datetime.fromtimestamp(seconds).strftime(form)
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"


def duration(seconds: float) -> str:
    """`0:07`, `12:34`, `1:02:03`; what is left of a second counts as one."""
    whole = max(0, -int(-seconds // 1))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Countdown:
    """On a terminal, says in one line what an acquire waits for and until when, counting down; elsewhere nothing.

    Pass it to a client as `on_event`, and leave its `with` block before anything else is written to the terminal.
    """

    def __init__(self, stream: TextIO | None = None, system: SystemTime | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._system = system or SystemTime()
        self._enabled = _is_terminal(self._stream)
        self._changed = threading.Event()
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._waiting: Event | None = None
        self._until = 0.0
        self._thread: threading.Thread | None = None
        self._closed = False

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
        """Take note of a wait that begins, or of its end."""
        if not self._enabled:
            return
        with self._lock:
            if event.kind is EventKind.WAITING and not self._closed:
                self._waiting = event
                self._until = self._system.monotonic() + (event.seconds or 0.0)
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="appid-countdown", daemon=True
                    )
                    self._thread.start()
            elif event.kind in (EventKind.ACQUIRED, EventKind.EXHAUSTED):
                self._waiting = None
        self._changed.set()

    def stop(self) -> None:
        """Take the line away, and write nothing any more."""
        with self._lock:
            self._closed = True
            thread, self._waiting = self._thread, None
        self._changed.set()
        if thread is not None:
            thread.join(_LAST_WORDS)

    def _run(self) -> None:
        shown = False
        while True:
            with self._lock:
                waiting, until, closed = self._waiting, self._until, self._closed
            if waiting is not None:
                self._draw(_line(waiting, until - self._system.monotonic()))
                shown = True
            elif shown:
                self._draw("")
                shown = False
            if closed:
                return
            self._changed.wait(1.0 if waiting is not None else None)
            self._changed.clear()

    def _draw(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            assert self._stream is not None
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._stream.write(f"\r{line[: columns - 1]}\x1b[K")
            self._stream.flush()


def _line(event: Event, left: float) -> str:
    """What matters most comes first: a narrow terminal cuts the rest off."""
    if event.available_at is None:
        when = f"next try in {duration(left)}"
    else:
        when = f"next chance in {duration(left)}, at {moment(event.available_at, date=False)}"
    return f"waiting for {printable(event.product_name)}: {when} ({printable(event.reason)})"


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (ValueError, OSError):
        return False

"""Writing for the command line: lines, tables and JSON on stdout, one-line errors on stderr.

Text from a service is made harmless for a terminal. A closed stdout is an error; a closed stderr
is not.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

PROGRAM = "appid-manager"


def printable(text: object) -> str:
    """Replace everything that moves a terminal's cursor or starts a new line."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text)
    )


def write_line(text: str) -> None:
    """Write one line to stdout and flush it.

    Raises:
        OSError: it can't be written (`BrokenPipeError`: nobody reads it).
    """
    if sys.stdout is None:
        raise OSError("standard output is closed")
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_json(value: Any) -> None:
    """Write `value` to stdout as JSON on one line. Raises the same errors as `write_line`."""
    write_line(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def write_error(message: object) -> None:
    """Write one line to stderr, with the program's name before it."""
    line = " ".join(str(message).split())
    _write_to_stderr(f"{PROGRAM}: {printable(line)}")


def write_error_json(facts: dict[str, object]) -> None:
    """Write a JSON object to stderr, on one line."""
    _write_to_stderr(json.dumps(facts, ensure_ascii=False))


def _write_to_stderr(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


def format_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under headings; each column is as wide as its widest cell."""
    cells = [list(headings)] + [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def format_time(seconds: float | None, *, date: bool = True) -> str:
    """A time in seconds since the Unix epoch, in this machine's time zone; `-` for `None`."""
    if seconds is None:
        return "-"
    try:
        form = "%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S"
        return datetime.fromtimestamp(seconds).strftime(form)
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"


def format_duration(seconds: float) -> str:
    """`0:07`, `12:34` or `1:02:03`, rounded up to whole seconds."""
    whole = max(0, -int(-seconds // 1))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

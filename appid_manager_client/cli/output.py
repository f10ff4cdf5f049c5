"""Writing for the command line: lines, tables and JSON on stdout, one-line errors on stderr.

What comes from outside is escaped: no letter of it moves a terminal's cursor, and every letter can
be written whatever the encoding is. A closed or full stdout is an error; a closed stderr is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TextIO

from ..text import printable

PROGRAM = "appid-manager"


class OutputError(OSError):
    """Stdout takes no output: it is closed or full, or has an unusable encoding."""


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def _escape_in_json(letter: str) -> str:
    return json.dumps(letter)[1:-1]  # beyond the basic plane these are two escapes


def write_line(text: str) -> None:
    """Write one line to stdout and flush it. What its encoding does not have is escaped.

    Raises:
        BrokenPipeError: nobody reads it.
        OutputError: it can't be written for another reason.
    """
    _write_to_stdout(text, _escape)


def write_json(value: Any) -> None:
    """Write `value` to stdout as JSON on one line. Raises the same errors as `write_line`."""
    _write_to_stdout(_json_of(value), _escape_in_json)


def write_error(message: object) -> None:
    """Write one line to stderr, with the program's name before it."""
    line = " ".join(str(message).split())
    _write_to_stderr(f"{PROGRAM}: {printable(line)}", _escape)


def write_error_json(facts: dict[str, object]) -> None:
    """Write a JSON object to stderr, on one line."""
    _write_to_stderr(_json_of(facts), _escape_in_json)


def assign_in_shell(name: str, value: object) -> str:
    """An assignment for a shell's `eval`; the variable then holds exactly `value`, in UTF-8.

    What a terminal or the encoding of stdout doesn't take is written by the shell's `printf`.
    """
    text = str(value)
    if text.isprintable() and _encodable(text, sys.stdout, _escape) == text:
        return f"{name}={shlex.quote(text)}"
    octal = "".join(f"\\{byte:03o}" for byte in text.encode("utf-8", "surrogatepass"))
    # $(...) drops newlines at the end: an x guards them.
    return f'{name}="$(printf \'{octal}x\')"; {name}="${{{name}%x}}"'


def discard_output() -> None:
    """Send stdout to nowhere: its last flush, when the process ends, must not fail again."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_to_stdout(line: str, escape: Callable[[str], str]) -> None:
    stream = sys.stdout
    if stream is None:
        raise OutputError("standard output is closed")

    try:
        stream.write(_encodable(line, stream, escape) + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: closed, or an encoding of no use
        why = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"standard output can't be written: {why}") from None


def _write_to_stderr(line: str, escape: Callable[[str], str]) -> None:
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(f"{_encodable(line, sys.stderr, escape)}\n")
            sys.stderr.flush()


def _encodable(text: str, stream: TextIO | None, escape: Callable[[str], str]) -> str:
    """The text, with escapes for letters that the stream's encoding does not have.

    Whatever the stream does about such letters: to leave one out would make another AppID of it.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if _fits(text, encoding):
        return text
    return "".join(letter if _fits(letter, encoding) else escape(letter) for letter in text)


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _json_of(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    if text.isprintable():
        return text
    # Only strings hold such letters: the rest of JSON is ASCII.
    return "".join(letter if letter.isprintable() else _escape_in_json(letter) for letter in text)


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

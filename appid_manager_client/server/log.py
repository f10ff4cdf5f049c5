"""The service's log: its one logger, its events, and how a line looks as text and as JSON.

An event is one line with a name and fields: text for people, or a JSON object for programs. Of what
callers sent, only names of products and AppIDs, holders, origins and addresses are logged, always
escaped: no body, no token, no value of a statement.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ..text import get_logger, printable

logger = get_logger("appid_manager_client.server")


def log_event(level: int, name: str, message: str, **fields: Any) -> None:
    """Log one event.

    Args:
        level: a level of `logging`.
        name: the event's name, which stays the same: programs look for it.
        message: the line for people, with a place such as `%(product)s` for each field it shows.
        fields: the facts, as JSON can hold them; at least one. Not `time`, `level`, `event` or
            `message`.
    """
    if logger.isEnabledFor(level):
        logger.log(level, message, fields, extra={"event": name, "fields": fields})


class BoundedEvents:
    """Events that anybody can cause: of each name at most `burst` lines in `period` seconds.

    The next line that is written says how many were left out before it. For use by one thread.
    """

    def __init__(
        self,
        burst: int = 10,
        period: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._period = period
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}  # by name: its begin, and how many came

    def log(self, level: int, name: str, message: str, **fields: Any) -> None:
        """Log an event as `log_event` does, unless there were too many of its name."""
        if not logger.isEnabledFor(level):
            return
        begin, count = self._windows.get(name, (0.0, 0))
        now = self._clock()
        left_out = 0
        if name not in self._windows or now - begin >= self._period:
            left_out = max(count - self._burst, 0)
            begin, count = now, 0
        self._windows[name] = (begin, count + 1)
        if count >= self._burst:
            return
        if left_out:
            message += " (and %(left_out)d more before)"
            fields["left_out"] = left_out
        log_event(level, name, message, **fields)


def make_formatter(log_format: str, program: str) -> logging.Formatter:
    """The formatter for `--log-format`; `program` stands at the begin of each line of text."""
    return JsonFormatter() if log_format == "json" else TextFormatter(program)


class TextFormatter(logging.Formatter):
    """One line for people: the time in UTC, the level, and the message."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback follows on lines of its own."""
        message = printable(record.getMessage())
        line = f"{self._program}: {_time(record)} {record.levelname}: {message}"
        return "\n".join([line, *_traceback(self, record)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `event`, `message`, and the event's fields.

    A line that is no event has `logger` in place of `event`. Everything that isn't ASCII is
    escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, with a traceback as the field `traceback`."""
        event = getattr(record, "event", None)
        facts: dict[str, Any] = {"time": _time(record), "level": record.levelname}
        facts |= {"logger": record.name} if event is None else {"event": event}
        facts["message"] = printable(record.getMessage())
        traceback = _traceback(self, record)
        if traceback:
            facts["traceback"] = traceback
        return json.dumps({**facts, **getattr(record, "fields", {}), **facts}, default=str)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return [printable(line) for line in formatter.formatException(record.exc_info).split("\n")]


def describe_failure(error: Exception) -> str:
    """The type of an error and the database's own message, without the statement and its values.

    Further lines of a message are left out: PostgreSQL quotes there what callers have sent.
    """
    original = getattr(error, "orig", None) or error
    return f"{type(error).__name__}: {str(original).strip().partition(chr(10))[0]}"

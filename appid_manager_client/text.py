"""Text from outside in log lines, messages and on terminals: shown, never acted on.

Names of products and AppIDs, vids, holders, paths, and what a service says can hold anything. A
newline would forge a log line, an escape sequence or a control character would act on a terminal,
and a bidi control would show a name as another one. Data keeps the text as it came; whatever is
made for people goes through here.
"""

from __future__ import annotations

import logging

ROOT_LOGGER = "appid_manager_client"

WAITING_LOGGER = f"{ROOT_LOGGER}.waiting"
"""The logger of waits for an AppID: a program that shows its waits by itself can turn it off."""


def printable(text: object) -> str:
    """Return `text` with every character escaped that isn't printable, as `repr` shows it.

    Not quoted, and a backslash stays as it is: the result is for reading, not for parsing.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in shown
    )


def get_logger(name: str = ROOT_LOGGER) -> logging.Logger:
    """Return a logger whose messages are printable, whatever their arguments hold."""
    logger = logging.getLogger(name)
    logger.addFilter(_escape)
    return logger


def _escape(record: logging.LogRecord) -> bool:
    """Escape a record's message; one that is printable already keeps its arguments."""
    message = record.getMessage()
    if not message.isprintable():
        record.msg, record.args = printable(message), None
    return True

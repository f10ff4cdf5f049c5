"""The exit codes of `appid-manager`: which there are, and which one an error means.

They are stable: scripts rely on them, and docs/cli.md lists them.
"""

from __future__ import annotations

from enum import IntEnum

from ..errors import (
    AppIdManagerError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequest,
    NoAppIdInTime,
    TransportError,
)


class ExitCode(IntEnum):
    """What an exit code of `appid-manager` means."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NO_APPID = 3
    AUTHENTICATION = 4
    UNAVAILABLE = 5
    REFUSED = 6


MEANINGS: tuple[tuple[str, str], ...] = (
    ("0", "done"),
    (
        "1",
        "any other failure, such as an unexpected answer, output that can't be written, "
        "or a port or database that serve can't use",
    ),
    ("2", "wrong usage or bad input; nothing was sent"),
    ("3", "no AppID became available in time"),
    ("4", "the service refused the token"),
    ("5", "the service can't be reached, or can't serve now"),
    (
        "6",
        "the service refused the request: an unknown product or AppID, "
        "an AppID that was never acquired, or a conflict",
    ),
    ("126", "run: the command can't be executed"),
    ("127", "run: there is no such command"),
    ("128+n", "ended by signal n: 130 by Ctrl-C; 141 if nobody reads the output"),
)
"""The codes and their meanings, for `--help` and docs/cli.md. `run` exits as its command does."""


class UsageError(Exception):
    """Wrong usage or bad input; nothing was sent. The message is one line."""


def code_for(error: Exception) -> ExitCode:
    """The exit code for an error that ended a command."""
    if isinstance(error, (UsageError, ConfigurationError)):
        return ExitCode.USAGE
    if isinstance(error, NoAppIdInTime):
        return ExitCode.NO_APPID
    if isinstance(error, AuthenticationError):
        return ExitCode.AUTHENTICATION
    if isinstance(error, TransportError):
        return ExitCode.UNAVAILABLE
    if isinstance(error, InvalidRequest):
        return ExitCode.REFUSED
    if isinstance(error, (ValueError, TypeError)) and not isinstance(error, AppIdManagerError):
        # So the library refuses wrong arguments, before it sends anything.
        return ExitCode.USAGE
    return ExitCode.FAILURE

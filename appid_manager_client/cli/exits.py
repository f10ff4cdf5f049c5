"""The exit codes of `appid-manager`: stable, documented in docs/cli.md, and chosen by the kind of the error."""

from __future__ import annotations

from enum import IntEnum

from ..errors import (
    AppIdManagerError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequest,
    NoAppIdAvailable,
    TransportError,
)

SIGNAL_BASE = 128
"""A command that a signal ended exits with this and the signal's number, as in a shell."""


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
        "any other failure: an answer that is none of the contract, a file that can't be written",
    ),
    ("2", "wrong usage or bad input; nothing was sent"),
    ("3", "no AppID became available in time"),
    ("4", "the service refused the token"),
    ("5", "the service can't be reached, or can't serve now"),
    ("6", "the service refused the request: unknown product or AppID, a conflict, never acquired"),
    ("126", "run: the command can't be executed"),
    ("127", "run: there is no such command"),
    ("128+n", "ended by signal n: 130 by Ctrl-C, 141 where nobody reads the output"),
)
"""For `--help` and the documentation. `run` exits as its command does, whatever that means."""


class UsageError(Exception):
    """Wrong usage or bad input, in one line; nothing was sent."""


def code_for(error: Exception) -> ExitCode:
    """The exit code for an error that ended a command."""
    if isinstance(error, (UsageError, ConfigurationError)):
        return ExitCode.USAGE
    if isinstance(error, NoAppIdAvailable):
        return ExitCode.NO_APPID
    if isinstance(error, AuthenticationError):
        return ExitCode.AUTHENTICATION
    if isinstance(error, TransportError):
        return ExitCode.UNAVAILABLE
    if isinstance(error, InvalidRequest):
        return ExitCode.REFUSED
    if isinstance(error, (ValueError, TypeError)) and not isinstance(error, AppIdManagerError):
        # Arguments are refused so before anything is sent.
        return ExitCode.USAGE
    return ExitCode.FAILURE

"""Errors as the command line shows them: one line in terms of its options, or one JSON object.

Only what an error carries as data is put in other words. Its text is shown as it is, because it may
hold a name that looks like a setting.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..config import TOKEN_VARIABLE, URL_VARIABLE
from ..errors import AuthenticationError, ConfigurationError, NoAppIdInTime, ServiceUnavailable
from .exits import ExitCode
from .output import write_error, write_error_json

OPTIONS = {
    "base_url": "--url",
    "auth_token": "--token",
    "timeout": "--timeout",
    "journal": "--journal",
    "host": "--host",
    "port": "--port",
    "database": "--database",
    "timezone": "--timezone",
    "hour_seconds": "--hour-seconds",
    "history_days": "--history-days",
    "wait_for_database": "--wait-for-database",
    "public_urls": "--public-url",
    "allowed_hosts": "--allowed-host",
    "insecure": "--insecure",
}
"""The option for each setting of the client and of the service that a command can set."""


def report(
    error: Exception, code: ExitCode, *, as_json: bool, variables: Mapping[str, str] | None = None
) -> None:
    """Write the error that ended a command to stderr.

    `variables` says which settings came from which variable.
    """
    message = message_of(error, variables or {})
    if not as_json:
        write_error(message)
        return
    facts: dict[str, object] = {
        "error": type(error).__name__,
        "message": message,
        "exit": int(code),
    }
    if isinstance(error, NoAppIdInTime) and error.available_at is not None:
        facts["availableAt"] = round(error.available_at * 1000)
    write_error_json(facts)


def message_of(error: Exception, variables: Mapping[str, str]) -> str:
    """What an error says to somebody who uses options and variables."""
    if isinstance(error, ConfigurationError) and error.setting is not None:
        name = variables.get(error.setting) or OPTIONS.get(error.setting)
        if name is not None:
            return f"{name} {error.problem}"
    if isinstance(error, AuthenticationError) and error.problem is not None:
        return f"{error.problem} (--token or {TOKEN_VARIABLE})"
    if isinstance(error, ServiceUnavailable) and not error.maybe_received and error.status is None:
        return f"{error}; is the service running there? (--url or {URL_VARIABLE} says where)"
    return getattr(error, "strerror", None) or str(error)

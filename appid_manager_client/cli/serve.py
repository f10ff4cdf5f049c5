"""`appid-manager serve`: the service in this process, until a signal stops it."""

from __future__ import annotations

import argparse
import os
import signal

from ..config import TOKEN_VARIABLE
from ..errors import ConfigurationError
from ..server.settings import ServiceSettings, describe_database
from ..text import printable
from .database import database_url
from .errors import report
from .exits import ExitCode, UsageError
from .output import discard_output, write_error, write_json, write_line


def serve(arguments: argparse.Namespace) -> int:
    """Run the service until SIGTERM or Ctrl-C, or SIGHUP where no file of tokens is read."""
    from ..server import serve as run_service

    settings = _settings(arguments)

    def announce(url: str) -> None:
        access = "token required" if settings.has_tokens else "no token"
        database = printable(describe_database(settings.database))
        line = f"serving AppIDs at {url} ({access}, {database}); Ctrl-C stops it"
        try:
            write_json({"url": url}) if arguments.json else write_line(line)
        except OSError:  # nobody reads it: that is no reason not to serve
            discard_output()
            write_error(line)

    _set_hangup(reads_tokens=settings.tokens_file is not None)
    try:
        run_service(settings, announce)
    except ConfigurationError as error:
        # The settings are right. What they name can't be used now: a port, or a database.
        variables = getattr(arguments, "variables", None)
        report(error, ExitCode.FAILURE, as_json=arguments.json, variables=variables)
        return ExitCode.FAILURE
    return ExitCode.OK


def _settings(arguments: argparse.Namespace) -> ServiceSettings:
    token = os.environ.get(TOKEN_VARIABLE) or None if arguments.token is None else arguments.token
    try:
        return ServiceSettings(
            host=arguments.host,
            port=arguments.port,
            database=database_url(arguments.database),
            auth_token=token,
            timezone=arguments.timezone,
            hour_seconds=arguments.hour_seconds,
            history_days=arguments.history_days,
            public_urls=arguments.public_urls,
            allowed_hosts=arguments.allowed_hosts,
            insecure=arguments.insecure,
            change_hours=arguments.change_hours,
            wait_for_database=arguments.wait_for_database,
            tokens_file=arguments.tokens_file,
            access_log=arguments.access_log,
        )
    except ConfigurationError as error:
        if error.setting == "auth_token":  # here it has two names
            raise UsageError(f"--token or {TOKEN_VARIABLE} {error.problem}") from None
        raise


def _set_hangup(*, reads_tokens: bool) -> None:
    """Have SIGHUP, from a terminal that is closed, stop the service as SIGTERM does.

    Where it has a file of tokens read again, it does nothing until the service runs: they are read
    at the start anyway.
    """
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None:
        return
    if reads_tokens:
        signal.signal(hangup, signal.SIG_IGN)
    elif signal.getsignal(hangup) is not signal.SIG_IGN:
        signal.signal(hangup, lambda number, frame: signal.raise_signal(signal.SIGTERM))

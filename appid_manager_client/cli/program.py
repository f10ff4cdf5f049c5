"""From the arguments of `appid-manager` to its exit code: finds a command, runs it, reports errors.

Each command is a function in one of the modules beside this, which is imported when it is run:
`--help` loads no client, and only `serve` and `demo` need the extra `server`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import AppIdManagerError
from ..runtime.signals import EXIT_BASE, release_on_termination
from ..text import WAITING_LOGGER, get_logger, printable
from .arguments import command_line
from .errors import report
from .exits import ExitCode, UsageError, code_for
from .output import (
    PROGRAM,
    OutputError,
    discard_output,
    write_error,
    write_line,
)

logger = get_logger()

_INTERRUPTED = EXIT_BASE + 2
_BROKEN_PIPE = EXIT_BASE + 13

COMMANDS: dict[str, tuple[str, str]] = {
    "health": ("health", "health"),
    "status": ("status", "status"),
    "products": ("products", "products"),
    "why": ("why", "why"),
    "history": ("history", "history"),
    "line": ("line", "line"),
    "init": ("init", "init"),
    "acquire": ("acquire", "acquire"),
    "release": ("acquire", "release"),
    "reserve": ("reserve", "reserve"),
    "pause": ("pause", "pause"),
    "token": ("token", "token"),
    "run": ("run", "run"),
    "reap": ("reap", "reap"),
    "serve": ("serve", "serve"),
    "backup": ("backup", "backup"),
    "migrate": ("migrate", "migrate"),
    "copy": ("migrate", "copy"),
    "demo": ("demo", "demo"),
    "completion": ("completion", "completion"),
    "help": ("help", "show_help"),
}
"""For each command, the module and the function that carry it out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the code with which the process should exit.

    Without `argv` it runs the process's own command line; SIGTERM and SIGHUP then end the process
    only after everything that it holds was given back.
    """
    if argv is None:
        release_on_termination()
        argv = sys.argv[1:]
    try:
        line = command_line()
        if not argv:
            write_line(line.format_help().rstrip())
            return ExitCode.OK
        arguments = line.parse(argv)
    except BrokenPipeError:
        discard_output()
        return _BROKEN_PIPE
    except OutputError as error:
        discard_output()
        write_error(error)
        return ExitCode.FAILURE
    with _logging(arguments.verbose, getattr(arguments, "log_format", None)):
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    try:
        return _command(arguments.command)(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return _BROKEN_PIPE
    except (AppIdManagerError, UsageError, ValueError, TypeError, OSError) as error:
        failure: Exception = error
    except Exception as error:
        logger.debug("an unexpected error", exc_info=True)
        failure = RuntimeError(f"unexpected {type(error).__name__}: {error}")
    if isinstance(failure, OutputError):
        discard_output()
    code = code_for(failure)
    variables = getattr(arguments, "variables", None)
    report(failure, code, as_json=arguments.json, variables=variables)
    return code


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    module, function = COMMANDS[name]
    command: Callable[[argparse.Namespace], int] = getattr(
        importlib.import_module(f".{module}", __package__), function
    )
    return command


class _Formatter(logging.Formatter):
    """Escapes what a terminal would act on in tracebacks, as the loggers do in messages."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - as logging has it
        return "\n".join(printable(line) for line in super().formatException(ei).split("\n"))


@contextlib.contextmanager
def _logging(verbose: int, log_format: str | None) -> Iterator[None]:
    """Write the library's log to stderr: warnings; with `-v` events; with `-vv` every detail.

    With a `log_format` the process is a service: what other libraries warn of is written too.
    """
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    handler = logging.StreamHandler()
    if log_format is None:
        target = logger
        handler.setFormatter(_Formatter(f"{PROGRAM}: %(levelname)s: %(message)s"))
    else:
        from ..server.log import make_formatter

        target = logging.root
        handler.setFormatter(make_formatter(log_format, PROGRAM))
    if not verbose:
        handler.addFilter(lambda record: record.name != WAITING_LOGGER)  # the countdown says it
    before = logger.level
    target.addHandler(handler)
    logger.setLevel(levels[min(verbose, 2)])
    try:
        yield
    finally:
        target.removeHandler(handler)
        logger.setLevel(before)

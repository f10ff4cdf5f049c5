"""From the arguments of `appid-manager` to its exit code: finds a command, runs it, reports errors.

Each command stands in a module of its own or in `commands.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from ..errors import AppIdManagerError
from ..runtime.signals import EXIT_BASE, release_on_termination
from ..text import get_logger
from . import commands
from .arguments import command_line
from .errors import report
from .exits import UsageError, code_for
from .output import PROGRAM
from .status import status

logger = get_logger()

_INTERRUPTED = EXIT_BASE + 2
_BROKEN_PIPE = EXIT_BASE + 13


def _run(arguments: argparse.Namespace) -> int:
    from .run import run

    return run(arguments)


def _serve(arguments: argparse.Namespace) -> int:
    from .serve import serve

    return serve(arguments)


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import demo

    return demo(arguments)


# Three are imported only when they are used: `run` needs a POSIX system, `serve` and `demo` need
# the extra `server`.
COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "health": commands.health,
    "status": status,
    "init": commands.init,
    "acquire": commands.acquire,
    "release": commands.release,
    "run": _run,
    "reap": commands.reap,
    "serve": _serve,
    "demo": _demo,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the code with which the process should exit.

    Without `argv` it runs the process's own command line; SIGTERM and SIGHUP then end the process
    only after everything that it holds was given back.
    """
    if argv is None:
        release_on_termination()
    arguments = command_line().parse(sys.argv[1:] if argv is None else argv)
    with _logging(arguments.verbose):
        try:
            return COMMANDS[arguments.command](arguments)
        except KeyboardInterrupt:
            return _INTERRUPTED
        except BrokenPipeError:
            _discard_output()
            return _BROKEN_PIPE
        except (AppIdManagerError, UsageError, ValueError, TypeError, OSError) as error:
            failure: Exception = error
        except Exception as error:
            logger.debug("an unexpected error", exc_info=True)
            failure = RuntimeError(f"unexpected {type(error).__name__}: {error}")
        code = code_for(failure)
        report(failure, code, as_json=arguments.json)
        return code


def _discard_output() -> None:
    """Send stdout to nowhere: nobody reads it any more, and its last flush must not fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _logging(verbose: int) -> Iterator[None]:
    """Write the library's log to stderr: warnings; with `-v` events; with `-vv` every detail."""
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{PROGRAM}: %(levelname)s: %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(levels[min(verbose, 2)])
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)

"""The command `appid-manager`: what it is called with, one-line errors, and exit codes that scripts can rely on."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from ..errors import AppIdManagerError, ServiceUnavailable
from ..runtime.signals import release_on_termination
from . import commands
from .exits import SIGNAL_BASE, ExitCode, UsageError, code_for
from .output import PROGRAM, complain, complain_json
from .parser import parse

__all__ = ["main"]

logger = logging.getLogger("appid_manager_client")

_INTERRUPTED = SIGNAL_BASE + 2
_BROKEN_PIPE = SIGNAL_BASE + 13


def _run(arguments: argparse.Namespace) -> int:
    from .run import run

    return run(arguments)


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import demo

    return demo(arguments)


_COMMANDS: dict[str, Callable[..., int]] = {
    "health": commands.health,
    "status": commands.status,
    "init": commands.init,
    "acquire": commands.acquire,
    "release": commands.release,
    "run": _run,
    "reap": commands.reap,
    "serve": commands.serve,
    "demo": _demo,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and say with which code the process should exit.

    Without `argv` it is the process's own command line, and SIGTERM and SIGHUP end it with everything given back.
    """
    if argv is None:
        release_on_termination()
    arguments = parse(sys.argv[1:] if argv is None else argv)
    with _logging(arguments.verbose):
        try:
            return int(_COMMANDS[arguments.command](arguments))
        except KeyboardInterrupt:
            return _INTERRUPTED
        except BrokenPipeError:
            return _stop_writing()
        except (AppIdManagerError, UsageError, ValueError, TypeError) as error:
            return _fail(error, code_for(error), as_json=arguments.json)
        except OSError as error:
            return _fail(error, ExitCode.FAILURE, as_json=arguments.json)
        except Exception as error:
            logger.debug("an unexpected error", exc_info=True)
            unexpected = RuntimeError(f"unexpected {type(error).__name__}: {error}")
            return _fail(unexpected, ExitCode.FAILURE, as_json=arguments.json)


def _fail(error: Exception, code: ExitCode, *, as_json: bool) -> int:
    message = getattr(error, "strerror", None) or str(error)
    message = _in_terms_of_options(message)
    if isinstance(error, ServiceUnavailable) and not error.maybe_received and error.status is None:
        message += "; is the service running there? (--url or APPID_MANAGER_URL says where)"
    if as_json:
        facts: dict[str, object] = {
            "error": type(error).__name__,
            "message": message,
            "exit": int(code),
        }
        if getattr(error, "available_at", None) is not None:
            facts["availableAt"] = round(getattr(error, "available_at") * 1000)
        complain_json(facts)
    else:
        complain(message)
    return int(code)


def _in_terms_of_options(message: str) -> str:
    """What the library calls an argument is an option here."""
    return message.replace("auth_token", "--token").replace("base_url", "--url")


def _stop_writing() -> int:
    """Nobody reads stdout any more; its last flush, at the end of the process, is to find no closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BROKEN_PIPE


@contextlib.contextmanager
def _logging(verbose: int) -> Iterator[None]:
    """The library's log on stderr: warnings, with `-v` what happens, with `-vv` every detail."""
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

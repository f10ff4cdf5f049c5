"""The arguments of `appid-manager`: what there is, what it is called, and one-line errors that never show a token."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Sequence
from typing import Any, NoReturn

from .._version import __version__
from ..config import DEFAULT_BASE_URL, DEFAULT_TIMEOUT
from ..lease.options import DEFAULT_TTL
from .exits import MEANINGS, ExitCode
from .output import PROGRAM, complain

Subparsers = Any


class Parser(argparse.ArgumentParser):
    """argparse's parser with one-line errors. What it doesn't know it doesn't repeat: that may be a token."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(_unknown(unknown))
        return known

    def error(self, message: str) -> NoReturn:
        complain(f"{message.replace(chr(10), ' ')} (try '{self.prog} --help')")
        raise SystemExit(int(ExitCode.USAGE))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.dest != "command" or value in (action.choices or ()):
            return super()._check_value(action, value)
        near = difflib.get_close_matches(str(value), list(action.choices or ()), n=1)
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else f"choose from {', '.join(action.choices or ())}"
        )
        raise argparse.ArgumentError(None, f"unknown command; {hint}")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command. What follows `--` is, for `run`, its command, in `argv`."""
    parser = build_parser()
    own = list(argv)
    if "--" not in own:
        arguments: argparse.Namespace = parser.parse_args(own)
        command: list[str] = []
    else:
        split = own.index("--")
        command = own[split + 1 :]
        arguments = parser.parse_args(own[:split] if _command_in(own[:split]) == "run" else own)
    if arguments.command == "run":
        if not command:
            parser.error("run: the command is required, after --")
        arguments.argv = command
    return arguments


def _command_in(arguments: Sequence[str]) -> str | None:
    """Which command it is: the first argument that is neither a global option nor the value of one."""
    values = iter(arguments)
    for argument in values:
        if argument in ("--url", "--token", "--timeout"):
            next(values, None)
        elif not argument.startswith("-"):
            return argument
    return None


def _unknown(unknown: Sequence[str]) -> str:
    for argument in unknown:
        if argument.startswith("-"):
            name = argument.partition("=")[0]
            if name in GLOBAL_OPTIONS:
                return f"{name} is a global option: it stands before the command"
            return f"unknown option {name}"
    return f"too many arguments ({len(unknown)} more than expected; for run, put -- before the command)"


def seconds(text: str) -> float:
    """A finite number of seconds, 0 or more."""
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more seconds, not {text!r}")
    return value


def positive_seconds(text: str) -> float:
    """A finite number of seconds above 0."""
    value = seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value


def count(text: str) -> int:
    """A whole number, 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {text!r}")
    return value


# argparse names these in its own errors.
seconds.__name__ = positive_seconds.__name__ = "number of seconds"
count.__name__ = "whole number"


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(prog=PROGRAM, description="Leases of metered AppIDs.", epilog=_epilog())
    _add_globals(parser)
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    _add_looking(commands)
    _add_init(commands)
    _add_acquire(commands)
    _add_release(commands)
    _add_run(commands)
    _add_reap(commands)
    _add_serve(commands)
    _command(commands, "demo", "Show it all at work on a service of its own, in about 20 seconds.")
    return parser


GLOBAL_OPTIONS = ("--url", "--token", "--timeout", "--json", "-v", "--verbose", "--version")


def _epilog() -> str:
    width = max(len(code) for code, _ in MEANINGS)
    lines = [f"  {code.ljust(width)}  {meaning}" for code, meaning in MEANINGS]
    return "\n".join(["exit codes:", *lines, "", "global options stand before the command."])


def _add_globals(parser: Parser) -> None:
    parser.add_argument(
        "--url", help=f"the service (default: APPID_MANAGER_URL, else {DEFAULT_BASE_URL})"
    )
    parser.add_argument(
        "--token",
        help="the token; better in APPID_MANAGER_TOKEN, as arguments are shown to everybody by ps",
    )
    parser.add_argument(
        "--timeout",
        type=positive_seconds,
        metavar="S",
        help=f"seconds that one call may take (default: APPID_MANAGER_TIMEOUT, else {DEFAULT_TIMEOUT})",
    )
    parser.add_argument("--json", action="store_true", help="write JSON instead of text and tables")
    parser.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="log what happens on stderr; twice: in detail",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")


def _command(commands: Subparsers, name: str, description: str, **options: Any) -> Parser:
    command: Parser = commands.add_parser(
        name, help=description, description=description, **options
    )
    return command


def _add_looking(commands: Subparsers) -> None:
    _command(commands, "health", "Say whether the service is well, and how its clock stands.")
    status = _command(commands, "status", "Show the AppIDs, and who has them.")
    status.add_argument("--product", help="only this product's")
    status.add_argument(
        "--watch",
        type=positive_seconds,
        nargs="?",
        const=2.0,
        metavar="S",
        help="show it again every S seconds (2) until Ctrl-C",
    )


def _add_init(commands: Subparsers) -> None:
    init = _command(
        commands,
        "init",
        "Set a product's AppIDs. Forgets what is in use, unless --keep-state is given.",
    )
    init.add_argument("product", metavar="PRODUCT")
    init.add_argument(
        "file",
        metavar="FILE",
        help="a JSON object {appid: vid} of strings or integers; - for stdin",
    )
    init.add_argument(
        "--keep-state",
        action="store_true",
        help="keep what is known of AppIDs in use and of this hour's use; an error where the service can't",
    )


def _add_acquire(commands: Subparsers) -> None:
    acquire = _command(
        commands,
        "acquire",
        "Get an AppID, waiting for one if need be. It stays in use until 'release'.",
        epilog="Prints the AppID and its vid, with a tab between them.",
    )
    acquire.add_argument("product", metavar="PRODUCT")
    waiting = acquire.add_mutually_exclusive_group()
    waiting.add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        dest="patience",
        help="wait at most S seconds (default: as long as there are tries)",
    )
    waiting.add_argument("--no-wait", action="store_true", help="try once; don't wait")
    acquire.add_argument(
        "--max-retries", type=count, default=60, metavar="N", help="tries after the first (60)"
    )
    acquire.add_argument(
        "--retry-interval",
        type=seconds,
        default=60.0,
        metavar="S",
        help="seconds between tries (60)",
    )
    acquire.add_argument(
        "--shell", action="store_true", help="print APPID=... assignments for a shell's eval"
    )


def _add_release(commands: Subparsers) -> None:
    release = _command(commands, "release", "Give an AppID back.")
    release.add_argument("product", metavar="PRODUCT")
    release.add_argument("appid", metavar="APPID")


def _add_run(commands: Subparsers) -> None:
    run = _command(
        commands,
        "run",
        "Run a command under a lease, with APPID, APPID_VID, APPID_START_TIME and APPID_PRODUCT in its environment.",
        usage=f"{PROGRAM} run [options] PRODUCT -- COMMAND ...",
        epilog="Exits as the command does: 128+n for signal n, 127 where there is no such command, 126 where it "
        "can't be executed. The AppID is given back after the last process of the command's group has ended.",
    )
    run.add_argument("product", metavar="PRODUCT")
    run.add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        dest="patience",
        help="wait at most S seconds for an AppID (default: as long as there are tries)",
    )
    run.add_argument(
        "--min-remaining",
        type=seconds,
        default=0.0,
        metavar="S",
        help="start only with S seconds left of the hour; with less, wait for the next one (0)",
    )
    run.add_argument(
        "--holder", metavar="T", help="who holds it, for people (default: host, process, command)"
    )
    run.add_argument(
        "--ttl",
        type=seconds,
        default=DEFAULT_TTL,
        metavar="S",
        help="how long the service keeps the AppID for a run that was killed or stopped: 1 to 3600 seconds (60)",
    )
    run.add_argument(
        "--on-lost",
        choices=("warn", "terminate"),
        default="warn",
        help="what to do when the AppID is lost meanwhile: warn, or end the command by SIGTERM and, ten seconds "
        "later, SIGKILL (warn)",
    )


def _add_reap(commands: Subparsers) -> None:
    reap = _command(
        commands,
        "reap",
        "Give back what killed processes of this host held, as the journal has it.",
    )
    reap.add_argument(
        "--journal",
        metavar="DIR",
        help="the journal's directory (default: APPID_MANAGER_JOURNAL, else the user's state directory)",
    )


def _add_serve(commands: Subparsers) -> None:
    serve = _command(
        commands,
        "serve",
        "Run the service here until SIGTERM or Ctrl-C (needs the extra 'server').",
        epilog="The token that callers must send is APPID_MANAGER_TOKEN, or the global option --token.",
    )
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    serve.add_argument(
        "--port", type=count, default=5000, help="the TCP port (5000); 0: a free one"
    )
    serve.add_argument(
        "--database",
        default="sqlite:///appids.db",
        metavar="URL",
        help="where the state is kept (sqlite:///appids.db)",
    )
    serve.add_argument(
        "--timezone", default="UTC", metavar="ZONE", help="the zone in which hours turn (UTC)"
    )
    serve.add_argument(
        "--hour-seconds",
        type=count,
        metavar="S",
        help="make hours as short as S seconds, for tests and demos",
    )
    serve.add_argument(
        "--insecure", action="store_true", help="allow other machines to call without a token"
    )

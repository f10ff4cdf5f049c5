"""The commands of `appid-manager` and their arguments: names, defaults, and help texts.

Those that run and keep the service are in `service_arguments.py`, those with which operators step
in, in `operator_arguments.py`.
docs/cli.md has a reference that is written from this (`python -m tests.cli.reference`).
"""

from __future__ import annotations

from collections.abc import Callable

from .._version import __version__
from ..config import DEFAULT_TIMEOUT
from .exits import MEANINGS
from .operator_arguments import add_operating
from .output import PROGRAM
from .parser import (
    DIRECTORIES,
    FILES,
    CommandLine,
    Parser,
    Show,
    completing,
    count,
    holder,
    page_size,
    part_of_hour,
    positive_seconds,
    seconds,
    ttl,
)
from .service_arguments import add_backup, add_copy, add_migrate, add_serve

RUN_TTL = 600.0
"""The `ttl` of a run, in seconds. An outage of a minute must not end the command. An AppID comes
back only when the hour turns, so that a long `ttl` costs little."""


def command_line() -> CommandLine:
    """The whole command line."""
    line = CommandLine(description="Leases of metered AppIDs.", epilog=_epilog())
    _add_global_options(line)
    line.add_command("health", "Show whether the service is healthy, and what its clock says.")
    _add_status(line)
    line.add_command("products", "Show the products: how many AppIDs each has, and who waits.")
    _add_why(line)
    _add_history(line)
    _add_line(line)
    _add_init(line)
    _add_acquire(line)
    add_operating(line)
    _add_run(line)
    _add_reap(line)
    add_serve(line)
    add_backup(line)
    add_migrate(line)
    add_copy(line)
    line.add_command("demo", "Demonstrate leases on a service of its own, in about 20 seconds.")
    _add_completion(line)
    _add_help(line)
    return line


def _epilog() -> str:
    width = max(len(code) for code, _ in MEANINGS)
    lines = [f"  {code.ljust(width)}  {meaning}" for code, meaning in MEANINGS]
    return "\n".join(["exit codes:", *lines])


def _add_global_options(line: CommandLine) -> None:
    line.add_global("--url", help="the URL of the service (default: APPID_MANAGER_URL)")
    line.add_global(
        "--token",
        help="the token; better set APPID_MANAGER_TOKEN, because ps shows arguments to everybody",
    )
    line.add_global(
        "--timeout",
        type=positive_seconds,
        metavar="S",
        help="the longest time for one call to the service, in seconds "
        f"(default: APPID_MANAGER_TIMEOUT, else {DEFAULT_TIMEOUT})",
    )
    line.add_global("--json", action="store_true", help="write JSON instead of text and tables")
    line.add_global(
        "-v",
        "--verbose",
        dest="verbose",
        action="count",
        default=0,
        help="log events to stderr; given twice: log every detail",
    )
    line.add_global(
        "--version",
        action=Show,
        text=f"{PROGRAM} {__version__}",
        help="show the program's version and exit",
    )


def _add_product(command: Parser) -> None:
    command.add_argument("product", metavar="PRODUCT")


def _add_status(line: CommandLine) -> None:
    status = line.add_command("status", "Show the AppIDs and their holders.")
    status.add_argument(
        "product", metavar="PRODUCT", nargs="?", help="show only the AppIDs of this product"
    )
    status.add_argument(
        "--product", dest="product_option", metavar="PRODUCT", help="the same, as an option"
    )
    status.add_argument(
        "--watch",
        type=positive_seconds,
        nargs="?",
        const=2.0,
        metavar="S",
        help="repeat every S seconds (default: 2) until Ctrl-C; write --watch=S or put the "
        "product first",
    )


def _add_why(line: CommandLine) -> None:
    _add_product(
        line.add_command(
            "why",
            "Say why no AppID of a product is free: who has which since when, and when the next\n"
            "one can be free.",
        )
    )


def _add_history(line: CommandLine) -> None:
    history = line.add_command(
        "history",
        "Show who had which AppID when, the newest first. Field services keep no history.",
    )
    history.add_argument(
        "product", metavar="PRODUCT", nargs="?", help="show only the leases of this product"
    )
    history.add_argument("--appid", metavar="APPID", help="show only the leases of this AppID")
    history.add_argument(
        "--limit",
        type=page_size,
        default=100,
        metavar="N",
        help="show the last N leases, 1 to 10000 (default: 100)",
    )


def _add_line(line: CommandLine) -> None:
    waiters = line.add_command(
        "line",
        "Show who waits in line for an AppID, and since when. Field services have no line.",
    )
    waiters.add_argument("product", metavar="PRODUCT")
    waiters.add_argument(
        "--limit",
        type=page_size,
        default=1_000,
        metavar="N",
        help="show the first N, 1 to 10000 (default: 1000)",
    )


def _add_init(line: CommandLine) -> None:
    init = line.add_command(
        "init",
        "Set a product's AppIDs. Keeps which of them are in use and which were used in this hour.",
    )
    _add_product(init)
    file = init.add_argument(
        "file",
        metavar="FILE",
        help="a JSON object {appid: vid}, each vid a string or an integer; - for stdin",
    )
    completing(file, FILES)
    state = init.add_mutually_exclusive_group()
    state.add_argument(
        "--reset",
        action="store_true",
        help="forget which AppIDs are in use and which were used in this hour: "
        "ends all leases of the product",
    )
    state.add_argument(
        "--keep-state",
        action="store_true",
        help="refuse a field service in any case: it can't keep that state. Without this option "
        "it is refused only while AppIDs of the product are in use",
    )


def _add_acquire(line: CommandLine) -> None:
    acquire = line.add_command(
        "acquire",
        "Acquire an AppID; wait if none is free. It stays in use until 'release'.",
        epilog="Prints the AppID and its vid, separated by a tab.",
        without=["--timeout"],
    )
    _add_product(acquire)
    waiting = acquire.add_mutually_exclusive_group()
    _add_wait_timeout(waiting.add_argument)
    waiting.add_argument("--no-wait", action="store_true", help="try once; don't wait")
    acquire.add_argument(
        "--max-retries",
        type=count,
        default=60,
        metavar="N",
        help="how many tries follow the first one (default: 60)",
    )
    acquire.add_argument(
        "--retry-interval",
        type=seconds,
        default=60.0,
        metavar="S",
        help="seconds between two tries (default: 60)",
    )
    acquire.add_argument(
        "--force",
        action="store_true",
        help="take an AppID although it was used in this hour; never one that is in use",
    )
    acquire.add_argument(
        "--ttl",
        type=ttl,
        metavar="S",
        help="have the service take the AppID back after S seconds, 1 to 3600, if it was not "
        "released; an error if the service can't (default: never)",
    )
    _add_holder(acquire, "user, host, process id and program")
    acquire.add_argument(
        "--shell",
        action="store_true",
        help="print assignments (APPID=... and others) for a shell's eval",
    )


def _add_wait_timeout(add_argument: Callable[..., object]) -> None:
    add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        dest="wait_timeout",
        help="wait at most S seconds for an AppID (default: until the last try)",
    )


def _add_holder(command: Parser, default: str) -> None:
    command.add_argument(
        "--holder",
        type=holder,
        metavar="T",
        help="who holds the AppID, for people who read the status, at most 200 characters "
        f"(default: {default})",
    )


def _add_run(line: CommandLine) -> None:
    run = line.add_command(
        "run",
        "Run a command while holding a lease. The command has APPID, APPID_VID, APPID_START_TIME,\n"
        "APPID_PRODUCT and APPID_FENCE in its environment.",
        usage=f"{PROGRAM} run [options] PRODUCT -- COMMAND ...",
        epilog="Exits as the command does: 128+n for signal n, 127 if there is no such command,\n"
        "126 if it can't be executed. The AppID is given back when the last process of the\n"
        "command's process group has ended.",
        without=["--timeout"],
    )
    _add_product(run)
    _add_wait_timeout(run.add_argument)
    run.add_argument(
        "--min-remaining",
        type=part_of_hour,
        default=0.0,
        metavar="S",
        help="start only if at least S seconds are left of the hour; "
        "otherwise wait for the next hour (default: 0)",
    )
    _add_holder(run, "user, host, process id and the command's name")
    run.add_argument(
        "--ttl",
        type=ttl,
        default=RUN_TTL,
        metavar="S",
        help="how long the service keeps the lease of a run that was killed, stopped or cut off: "
        f"1 to 3600 seconds (default: {RUN_TTL:g})",
    )
    run.add_argument(
        "--on-lost",
        choices=("terminate", "warn"),
        default="terminate",
        help="what to do if the AppID is lost while the command runs: end the command with "
        "SIGTERM and, ten seconds later, SIGKILL, or only warn (default: terminate)",
    )


def _add_reap(line: CommandLine) -> None:
    reap = line.add_command(
        "reap",
        "Give back the AppIDs of killed processes of this host. The journal names them.",
    )
    journal = reap.add_argument(
        "--journal",
        metavar="DIR",
        help="the journal's directory "
        "(default: APPID_MANAGER_JOURNAL, else the user's state directory)",
    )
    completing(journal, DIRECTORIES)
    reap.add_argument(
        "--every",
        type=positive_seconds,
        metavar="SECONDS",
        help="repeat every SECONDS until Ctrl-C or SIGTERM; "
        "goes on while the service can't be reached",
    )


def _add_completion(line: CommandLine) -> None:
    completion = line.add_command(
        "completion",
        "Print a script that completes commands and options (needs the extra 'completion').",
        epilog='bash: eval "$(appid-manager completion bash)"\n'
        "zsh:  appid-manager completion zsh > ~/.zfunc/_appid-manager\n"
        "fish: appid-manager completion fish > ~/.config/fish/completions/appid-manager.fish",
    )
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


SHELLS = ("bash", "zsh", "fish")


def _add_help(line: CommandLine) -> None:
    shown = line.add_command("help", "Show the help of a command, or of the program.")
    shown.add_argument("topic", metavar="COMMAND", nargs="?")

"""The commands of `appid-manager` and their arguments: names, defaults, and help texts.

docs/cli.md has a reference that is written from this (`python -m tests.cli.reference`).
"""

from __future__ import annotations

from .._version import __version__
from ..config import DEFAULT_BASE_URL, DEFAULT_TIMEOUT
from ..lease.options import DEFAULT_TTL
from .exits import MEANINGS
from .output import PROGRAM
from .parser import CommandLine, count, positive_seconds, seconds


def command_line() -> CommandLine:
    """The whole command line."""
    line = CommandLine(description="Leases of metered AppIDs.", epilog=_epilog())
    _add_global_options(line)
    line.add_command("health", "Show whether the service is healthy, and what its clock says.")
    _add_status(line)
    _add_init(line)
    _add_acquire(line)
    _add_release(line)
    _add_run(line)
    _add_reap(line)
    _add_serve(line)
    line.add_command("demo", "Demonstrate leases on a service of its own, in about 20 seconds.")
    return line


def _epilog() -> str:
    width = max(len(code) for code, _ in MEANINGS)
    lines = [f"  {code.ljust(width)}  {meaning}" for code, meaning in MEANINGS]
    return "\n".join(["exit codes:", *lines, "", "global options stand before the command."])


def _add_global_options(line: CommandLine) -> None:
    line.add_global(
        "--url",
        help=f"the URL of the service (default: APPID_MANAGER_URL, else {DEFAULT_BASE_URL})",
    )
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
        action="count",
        default=0,
        help="log events to stderr; given twice: log every detail",
    )
    line.add_global("--version", action="version", version=f"{PROGRAM} {__version__}")


def _add_status(line: CommandLine) -> None:
    status = line.add_command("status", "Show the AppIDs and their holders.")
    status.add_argument("--product", help="show only the AppIDs of this product")
    status.add_argument(
        "--watch",
        type=positive_seconds,
        nargs="?",
        const=2.0,
        metavar="S",
        help="repeat every S seconds (default: 2) until Ctrl-C",
    )


def _add_init(line: CommandLine) -> None:
    init = line.add_command(
        "init",
        "Set a product's AppIDs. Forgets which AppIDs are in use, unless --keep-state is given.",
    )
    init.add_argument("product", metavar="PRODUCT")
    init.add_argument(
        "file",
        metavar="FILE",
        help="a JSON object {appid: vid}, each vid a string or an integer; - for stdin",
    )
    init.add_argument(
        "--keep-state",
        action="store_true",
        help="keep which AppIDs are in use and which were used in this hour; "
        "an error if the service can't",
    )


def _add_acquire(line: CommandLine) -> None:
    acquire = line.add_command(
        "acquire",
        "Acquire an AppID; wait if none is free. It stays in use until 'release'.",
        epilog="Prints the AppID and its vid, separated by a tab.",
    )
    acquire.add_argument("product", metavar="PRODUCT")
    waiting = acquire.add_mutually_exclusive_group()
    waiting.add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        dest="wait_timeout",
        help="wait at most S seconds (default: until the last try)",
    )
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
        "--shell",
        action="store_true",
        help="print assignments (APPID=... and others) for a shell's eval",
    )


def _add_release(line: CommandLine) -> None:
    release = line.add_command("release", "Give an AppID back.")
    release.add_argument("product", metavar="PRODUCT")
    release.add_argument("appid", metavar="APPID")


def _add_run(line: CommandLine) -> None:
    run = line.add_command(
        "run",
        "Run a command while holding a lease. The command has APPID, APPID_VID, APPID_START_TIME\n"
        "and APPID_PRODUCT in its environment.",
        usage=f"{PROGRAM} run [options] PRODUCT -- COMMAND ...",
        epilog="Exits as the command does: 128+n for signal n, 127 if there is no such command,\n"
        "126 if it can't be executed. The AppID is given back when the last process of the\n"
        "command's process group has ended.",
    )
    run.add_argument("product", metavar="PRODUCT")
    run.add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        dest="wait_timeout",
        help="wait at most S seconds for an AppID (default: until the last try)",
    )
    run.add_argument(
        "--min-remaining",
        type=seconds,
        default=0.0,
        metavar="S",
        help="start only if at least S seconds are left of the hour; "
        "otherwise wait for the next hour (default: 0)",
    )
    run.add_argument(
        "--holder",
        metavar="T",
        help="who holds the AppID, for people who read the status "
        "(default: host, process id and command)",
    )
    run.add_argument(
        "--ttl",
        type=seconds,
        default=DEFAULT_TTL,
        metavar="S",
        help="how long the service keeps the lease of a run that was killed or stopped: "
        "1 to 3600 seconds (default: 60)",
    )
    run.add_argument(
        "--on-lost",
        choices=("warn", "terminate"),
        default="warn",
        help="what to do if the AppID is lost while the command runs: warn, or end the command "
        "with SIGTERM and, ten seconds later, SIGKILL (default: warn)",
    )


def _add_reap(line: CommandLine) -> None:
    reap = line.add_command(
        "reap",
        "Give back the AppIDs of killed processes of this host. The journal names them.",
    )
    reap.add_argument(
        "--journal",
        metavar="DIR",
        help="the journal's directory "
        "(default: APPID_MANAGER_JOURNAL, else the user's state directory)",
    )


def _add_serve(line: CommandLine) -> None:
    serve = line.add_command(
        "serve",
        "Run the service until SIGTERM or Ctrl-C (needs the extra 'server').",
        epilog="APPID_MANAGER_TOKEN, or the global option --token, sets the token for callers.",
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)"
    )
    serve.add_argument(
        "--port", type=count, default=5000, help="the TCP port (default: 5000); 0 takes a free one"
    )
    serve.add_argument(
        "--database",
        default="sqlite:///appids.db",
        metavar="URL",
        help="the SQLite file with the service's state (default: sqlite:///appids.db)",
    )
    serve.add_argument(
        "--timezone",
        default="UTC",
        metavar="ZONE",
        help="the time zone whose hours count (default: UTC)",
    )
    serve.add_argument(
        "--hour-seconds",
        type=count,
        metavar="S",
        help="the length of an hour, S seconds, for tests and demonstrations",
    )
    serve.add_argument(
        "--insecure",
        action="store_true",
        help="allow calls from other machines without a token",
    )

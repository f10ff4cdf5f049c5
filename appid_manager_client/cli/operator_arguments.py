"""The commands with which operators step in, and their arguments.

The other commands stand in `arguments.py` and `service_arguments.py`.
"""

from __future__ import annotations

from .parser import CommandLine, Parser

ROLES = ("read", "use", "admin")


def add_operating(line: CommandLine) -> None:
    """`appid-manager release`, `reserve`, `pause` and `token`."""
    _add_release(line)
    _add_reserve(line)
    _add_pause(line)
    _add_token(line)


def _add_release(line: CommandLine) -> None:
    release = line.add_command(
        "release",
        "Give an AppID back. With --force, take it from whoever has it, and note why.",
    )
    release.add_argument("product", metavar="PRODUCT")
    release.add_argument("appid", metavar="APPID")
    release.add_argument(
        "--force",
        action="store_true",
        help="as an operator: the history says who did it, and why; needs --note, and a token "
        "whose role is admin",
    )
    _add_said(release, "why it is released by force")


def _add_reserve(line: CommandLine) -> None:
    reserve = line.add_command(
        "reserve",
        "Take an AppID out of use, for maintenance: nobody gets it, not by force either. Who has\n"
        "it keeps it; it is reserved from its release on. Field services can't do that.",
    )
    reserve.add_argument("appid", metavar="APPID")
    reserve.add_argument(
        "product",
        metavar="PRODUCT",
        nargs="?",
        help="its product (default: the one that has it, as the service's status says)",
    )
    reserve.add_argument(
        "--free",
        action="store_true",
        help="take it back into use. It is free as its last use allows; a release that lies in "
        "the future, because the service's clock was wrong, is forgotten",
    )
    _add_said(reserve, "why, for people who read the status and the history")


def _add_pause(line: CommandLine) -> None:
    pause = line.add_command(
        "pause",
        "Grant nothing of a product until 'pause --resume'. Who waits in line waits on, and who\n"
        "has an AppID keeps it. Field services can't do that.",
    )
    pause.add_argument("product", metavar="PRODUCT")
    pause.add_argument("--resume", action="store_true", help="grant its AppIDs again")
    _add_said(pause, "why, for people who read the history")


def _add_said(command: Parser, why: str) -> None:
    command.add_argument("--note", metavar="TEXT", help=f"{why}; at most 500 characters")
    command.add_argument(
        "--by",
        metavar="WHO",
        help="who does it, for people who read the history (default: user@host)",
    )


def _add_token(line: CommandLine) -> None:
    token = line.add_command(
        "token",
        "Make a token, and print both halves: what its holder sends, and the line for the file\n"
        "that 'serve --tokens FILE' reads, which admits the token and doesn't show it.",
        epilog="Nothing is stored: append the line to the file, and send SIGHUP to the service.",
    )
    token.add_argument("name", metavar="NAME", help="whose it is, as the history and the log say")
    token.add_argument(
        "--role",
        choices=ROLES,
        default="use",
        help="read: status, history, line, metrics and the page; use: acquire and release, too; "
        "admin: init, reserve, pause and releases by force, too (default: use)",
    )

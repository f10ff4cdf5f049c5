"""`appid-manager help`: the help of a command, or of the program."""

from __future__ import annotations

import argparse

from .arguments import command_line
from .exits import ExitCode
from .output import write_line


def show_help(arguments: argparse.Namespace) -> int:
    """Show the help of the command that is asked for."""
    write_line(command_line().help_of(arguments.topic).rstrip())
    return ExitCode.OK

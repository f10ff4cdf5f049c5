"""argparse with one-line errors that never show a token, and with values that are checked.

Which commands and options there are stands in `arguments.py`.
"""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Sequence
from typing import Any, NoReturn

from .exits import ExitCode
from .output import PROGRAM, write_error


class Parser(argparse.ArgumentParser):
    """A parser with one-line errors. They never repeat an unknown argument: it may be a token."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        write_error(f"{message} (try '{self.prog} --help')")
        raise SystemExit(int(ExitCode.USAGE))


class CommandLine(Parser):
    """The parser of a program with commands. Global options stand before the command.

    Attributes:
        commands: the parser of each command, by the command's name.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(prog=PROGRAM, **options)
        self.commands: dict[str, Parser] = {}
        self._global_options: set[str] = set()
        self._takes_value: set[str] = set()
        self._subparsers_action = self.add_subparsers(
            dest="command", metavar="COMMAND", required=True, parser_class=Parser
        )

    def add_global(self, *names: str, **options: Any) -> None:
        """Add a global option; takes what `add_argument` takes."""
        action = self.add_argument(*names, **options)
        self._global_options.update(names)
        if action.nargs != 0:
            self._takes_value.update(names)

    def add_command(self, name: str, description: str, **options: Any) -> Parser:
        """Add a command. Returns its parser, for the command's arguments."""
        command = self._subparsers_action.add_parser(
            name, help=description, description=description, **options
        )
        self.commands[name] = command
        return command

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse a command line. For `run`, what follows `--` is its command, in `argv`."""
        own, rest = _split(argv)
        name = self._command_in(own)
        if name is not None and name not in self.commands:
            self.error(f"unknown command; {self._suggestion(name)}")
        if name != "run":
            return self._parse_known(list(argv))
        arguments = self._parse_known(own)
        if not rest:
            self.error("run: the command is required, after --")
        arguments.argv = rest
        return arguments

    def _parse_known(self, argv: list[str]) -> argparse.Namespace:
        arguments, unknown = self.parse_known_args(argv)
        if unknown:
            self.error(self._about_unknown(unknown))
        return arguments

    def _command_in(self, arguments: Sequence[str]) -> str | None:
        """The first argument that is neither a global option nor the value of one."""
        rest = iter(arguments)
        for argument in rest:
            if argument in self._takes_value:
                next(rest, None)
            elif not argument.startswith("-"):
                return argument
        return None

    def _suggestion(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.commands, n=1)
        return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(self.commands)}"

    def _about_unknown(self, unknown: Sequence[str]) -> str:
        for argument in unknown:
            if argument.startswith("-"):
                name = argument.partition("=")[0]
                if name in self._global_options:
                    return f"{name} is a global option: it stands before the command"
                return f"unknown option {name}"
        return (
            f"too many arguments ({len(unknown)} more than expected; "
            "for run, put -- before the command)"
        )


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first `--`, and what stands after it."""
    own = list(argv)
    if "--" not in own:
        return own, []
    place = own.index("--")
    return own[:place], own[place + 1 :]


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


# argparse takes these names into its own errors: "invalid whole number value: 'x'".
seconds.__name__ = positive_seconds.__name__ = "number of seconds"
count.__name__ = "whole number"

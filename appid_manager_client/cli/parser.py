"""argparse with one-line errors that never show a token, and with values that are checked.

Which commands and options there are stands in `arguments.py`.
"""

from __future__ import annotations

import argparse
import difflib
import math
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from ..checks import check_name
from ..runtime.identity import MAX_HOLDER
from .exits import ExitCode, UsageError
from .output import PROGRAM, write_error, write_line
from .variables import Setting, fill_in, variable_of

HOUR = 3600
"""The length of an hour in seconds, but for services of tests and demonstrations."""

LONGEST_TTL = 3600
"""The longest `ttl` of a lease, in seconds (wire contract, "Extensions")."""

LARGEST_PAGE = 10_000
"""The most entries of a history in one answer."""

# What completion scripts offer for an argument, in the words of shtab's documentation.
FILES = {
    "bash": "_shtab_compgen_files",
    "zsh": "_files",
    "fish": "(__fish_complete_path (commandline -ct))",
}
DIRECTORIES = {
    "bash": "_shtab_compgen_dirs",
    "zsh": "_files -/",
    "fish": "(__fish_complete_directories)",
}


def completing(action: argparse.Action, offered: dict[str, str]) -> None:
    """Have completion scripts offer files or directories for an argument."""
    setattr(action, "complete", offered)  # noqa: B010 - argparse declares no such attribute


class Parser(argparse.ArgumentParser):
    """A parser with one-line errors. They never repeat an unknown argument: it may be a token.

    Attributes:
        settings: the options that a variable can hold too.
    """

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, add_help=False, **options)
        self.settings: list[Setting] = []
        self.add_argument("-h", "--help", action=Show, help="show this help message and exit")

    def add_setting(
        self, name: str, *, default: Any = None, help: str, **options: Any
    ) -> argparse.Action:
        """Add an option whose value can also come from a variable; takes what `add_argument` takes.

        The variable is APPID_MANAGER_ and the option's name. One whose action is "append" takes
        several values, which a variable holds with spaces or commas between them.
        """
        several = options.get("action") == "append"
        shown = "" if default in (None, False) else f", else {default}"
        action = self.add_argument(
            name,
            default=[] if several else None,
            help=f"{help} (default: {variable_of(name)}{shown})",
            **options,
        )
        self.settings.append(Setting(action, () if several else default))
        return action

    def error(self, message: str) -> NoReturn:
        write_error(f"{message} (try '{self.prog} --help')")
        raise SystemExit(int(ExitCode.USAGE))


class Show(argparse.Action):
    """Writes a text, by default the help, and ends the program.

    argparse's own actions of this kind say nothing where stdout takes no output.
    """

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        *,
        help: str,
        default: str = argparse.SUPPRESS,
        text: str | None = None,
    ) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, 0, default=default, help=help)
        self._text = text

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        write_line((self._text or parser.format_help()).rstrip())
        raise SystemExit(int(ExitCode.OK))


class CommandLine(Parser):
    """The parser of a program with commands. Global options stand before the command or after it.

    Attributes:
        commands: the parser of each command, by the command's name.
        global_options: every name of a global option.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(prog=PROGRAM, **options)
        self.commands: dict[str, Parser] = {}
        self.global_options: set[str] = set()
        self._globals: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self._takes_value: set[str] = set()
        self._subparsers_action = self.add_subparsers(
            dest="command", metavar="COMMAND", required=True, parser_class=Parser
        )

    def add_global(self, *names: str, **options: Any) -> None:
        """Add a global option; takes what `add_argument` takes. Before any command is added."""
        action = self.add_argument(*names, **options)
        self._globals.append((names, options))
        self.global_options.update(names)
        if action.nargs != 0:
            self._takes_value.update(names)

    def add_command(
        self, name: str, description: str, *, without: Sequence[str] = (), **options: Any
    ) -> Parser:
        """Add a command. Returns its parser, for the command's arguments.

        After the command it takes all global options but those in `without`, which mean something
        else there.
        """
        command = self._subparsers_action.add_parser(
            name, help=description, description=description, **options
        )
        group = command.add_argument_group("global options")
        for names, settings in self._globals:
            if not set(names) & set(without):
                group.add_argument(*names, **_after_command(settings))
        self.commands[name] = command
        return command

    def help_of(self, name: str | None) -> str:
        """The help text of a command, or with `None` that of the program."""
        if name is None:
            return self.format_help()
        if name not in self.commands:
            self.error(f"unknown command; {self._suggestion(name)}")
        return self.commands[name].format_help()

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
        for name, value in vars(arguments).copy().items():
            if name.startswith(_COUNTED_AFTER):
                delattr(arguments, name)
                counted = name.removeprefix(_COUNTED_AFTER)
                setattr(arguments, counted, getattr(arguments, counted) + value)
        command = self.commands[arguments.command]
        try:
            fill_in(arguments, command.settings, os.environ)
        except UsageError as error:
            command.error(str(error))
        return arguments

    def _command_in(self, arguments: Sequence[str]) -> str | None:
        """The first argument that is neither a global option nor the value of one."""
        rest = iter(arguments)
        for argument in rest:
            option = argument.partition("=")[0]
            if argument in self._takes_value:
                next(rest, None)
            elif not argument.startswith("-"):
                return argument
            elif option.startswith("--") and option not in {*self.global_options, "--help"}:
                # Its value, if it has one, would be taken for the command.
                self.error(f"unknown option {option} before the command")
        return None

    def _suggestion(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.commands, n=1)
        return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(self.commands)}"

    def _about_unknown(self, unknown: Sequence[str]) -> str:
        for argument in unknown:
            if argument.startswith("-"):
                return f"unknown option {argument.partition('=')[0]}"
        return (
            f"too many arguments ({len(unknown)} more than expected; "
            "for run, put -- before the command)"
        )


_COUNTED_AFTER = "counted_after_command_"


def _after_command(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a global option that stands after the command.

    It sets nothing where it isn't given, so that one before the command counts. What is counted,
    as in `-v status -v`, is counted apart and added up.
    """
    if settings.get("action") == "count":
        return {**settings, "dest": f"{_COUNTED_AFTER}{settings['dest']}"}
    return {**settings, "default": argparse.SUPPRESS}


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first `--`, and what stands after it."""
    own = list(argv)
    if "--" not in own:
        return own, []
    place = own.index("--")
    return own[:place], own[place + 1 :]


LONGEST = 1e9
"""The most seconds that an option takes: the system can't wait for much longer."""


def seconds(text: str) -> float:
    """A number of seconds from 0 to `LONGEST`."""
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more seconds, not {text!r}")
    if value > LONGEST:
        raise argparse.ArgumentTypeError(f"must be at most {LONGEST:.0f} seconds, not {text!r}")
    return value


def positive_seconds(text: str) -> float:
    """A number of seconds above 0."""
    value = seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value


def part_of_hour(text: str) -> float:
    """A number of seconds that is less than an hour."""
    value = seconds(text)
    if value >= HOUR:
        raise argparse.ArgumentTypeError(f"must be less than {HOUR} seconds, not {text!r}")
    return value


def ttl(text: str) -> float:
    """The `ttl` of a lease, in seconds."""
    value = seconds(text)
    if not 1 <= value <= LONGEST_TTL:
        raise argparse.ArgumentTypeError(f"must be 1 to {LONGEST_TTL} seconds, not {text!r}")
    return value


def count(text: str) -> int:
    """A whole number, 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {text!r}")
    return value


def page_size(text: str) -> int:
    """How many entries a service is asked for at once."""
    value = count(text)
    if not 1 <= value <= LARGEST_PAGE:
        raise argparse.ArgumentTypeError(f"must be 1 to {LARGEST_PAGE}, not {text!r}")
    return value


def holder(text: str) -> str:
    """Who holds an AppID: a text that a service takes."""
    try:
        check_name(text, "holder", longest=MAX_HOLDER)
    except ValueError as error:
        problem = str(error).removeprefix("holder ")
        raise argparse.ArgumentTypeError(problem) from None
    return text


# argparse takes these names into its own errors: "invalid whole number value: 'x'".
seconds.__name__ = positive_seconds.__name__ = part_of_hour.__name__ = ttl.__name__ = (
    "number of seconds"
)
count.__name__ = page_size.__name__ = "whole number"

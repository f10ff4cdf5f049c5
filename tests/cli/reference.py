"""Writes the reference part of docs/cli.md from the parser: `python -m tests.cli.reference`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from appid_manager_client.cli.arguments import command_line
from appid_manager_client.cli.exits import MEANINGS
from appid_manager_client.cli.parser import CommandLine

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
BEGIN = "<!-- The rest is written by: python -m tests.cli.reference -->\n"
WIDTH = 100


def reference() -> str:
    """The commands, their arguments and the exit codes, as Markdown."""
    line = command_line()
    parts = ["## Global options", _arguments(_actions(line)), "## Commands"]
    for name, command in line.commands.items():
        own = [action for action in _actions(command) if not _is_global(action, line)]
        texts = [_fill(text) for text in (command.description, command.epilog) if text]
        parts += [f"### {name}", f"    {_usage(command, own)}", *texts, _arguments(own)]
    parts += ["## Exit codes", _list(MEANINGS)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    # argparse shows them nowhere else.
    return [
        action
        for action in parser._actions
        if action.dest != "command" and "-h" not in action.option_strings
    ]


def _is_global(action: argparse.Action, line: CommandLine) -> bool:
    if not set(action.option_strings) & line.global_options:
        return False
    return action.help in {known.help for known in _actions(line)}


def _usage(command: argparse.ArgumentParser, actions: Sequence[argparse.Action]) -> str:
    if command.usage is not None:
        return command.usage
    optional = " [options]" if any(action.option_strings for action in actions) else ""
    names = [
        f"[{action.metavar}]" if action.nargs == "?" else str(action.metavar)
        for action in actions
        if not action.option_strings
    ]
    return " ".join([command.prog + optional, *names])


def _arguments(actions: Iterable[argparse.Action]) -> str:
    return _list((_name(action), action.help) for action in actions if action.help)


def _name(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar)
    value = action.metavar or ("|".join(action.choices) if action.choices else action.dest.upper())
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    return f"{names} [{value}]" if action.nargs == "?" else f"{names} {value}"


def _list(entries: Iterable[tuple[str, str]]) -> str:
    return "\n".join(_fill(f"- `{name}`: {meaning}", "  ") for name, meaning in entries)


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def page() -> str:
    """The page as it should be: what was written by hand, and the reference."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[0] + BEGIN + "\n" + reference()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""Writes the reference part of docs/cli.md from the parser: `python -m tests.cli.reference`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable
from pathlib import Path

from appid_manager_client.cli.arguments import command_line
from appid_manager_client.cli.exits import MEANINGS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
BEGIN = "<!-- The rest is written by: python -m tests.cli.reference -->\n"
WIDTH = 100


def reference() -> str:
    """The commands, their arguments and the exit codes, as Markdown."""
    line = command_line()
    parts = ["## Global options", _arguments(line), "## Commands"]
    for name, command in line.commands.items():
        texts = [_fill(text) for text in (command.description, command.epilog) if text]
        parts += [f"### {name}", f"    {_usage(command)}", *texts, _arguments(command)]
    parts += ["## Exit codes", _list(MEANINGS)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    # argparse shows them nowhere else.
    return [action for action in parser._actions if action.dest not in ("help", "command")]


def _usage(command: argparse.ArgumentParser) -> str:
    if command.usage is not None:
        return command.usage
    actions = _actions(command)
    optional = " [options]" if any(action.option_strings for action in actions) else ""
    names = [str(action.metavar) for action in actions if not action.option_strings]
    return " ".join([command.prog + optional, *names])


def _arguments(parser: argparse.ArgumentParser) -> str:
    return _list((_name(action), action.help) for action in _actions(parser) if action.help)


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

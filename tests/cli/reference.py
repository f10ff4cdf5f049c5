"""Writes the reference part of docs/cli.md from the parser: `python -m tests.cli.reference`."""

from __future__ import annotations

import argparse
from pathlib import Path

from appid_manager_client.cli.exits import MEANINGS
from appid_manager_client.cli.parser import Parser, build_parser

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
BEGIN = "<!-- The rest is written by: python -m tests.cli.reference -->\n"


def reference() -> str:
    """The commands, their arguments and the exit codes, as Markdown."""
    parser = build_parser()
    parts = ["## Global options\n", _arguments(parser), "## Commands\n"]
    for name, command in commands(parser).items():
        parts += [f"### {name}\n", f"    {_usage(command)}\n", f"{command.description}\n"]
        parts += [f"{command.epilog}\n"] if command.epilog else []
        parts += [_arguments(command)]
    parts += ["## Exit codes\n", _table(("code", "meaning"), [[f"`{c}`", m] for c, m in MEANINGS])]
    return "\n".join(part for part in parts if part)


def commands(parser: Parser) -> dict[str, Parser]:
    (found,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


def _usage(command: Parser) -> str:
    if command.usage is not None:
        return command.usage
    actions = [action for action in command._actions if action.dest != "help"]
    optional = " [options]" if any(action.option_strings for action in actions) else ""
    names = [str(action.metavar) for action in actions if not action.option_strings]
    return " ".join([command.prog + optional, *names])


def _arguments(parser: Parser) -> str:
    rows = [
        [f"`{_name(action)}`", action.help or ""]
        for action in parser._actions
        if action.dest not in ("help", "command") and (action.option_strings or action.help)
    ]
    return _table(("argument", "meaning"), rows) if rows else ""


def _name(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar)
    value = action.metavar or ("|".join(action.choices) if action.choices else action.dest.upper())
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    return f"{names} [{value}]" if action.nargs == "?" else f"{names} {value}"


def _table(headings: tuple[str, str], rows: list[list[str]]) -> str:
    lines = [
        list(headings),
        ["---", "---"],
        *([c.replace("|", "\\|") for c in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page() -> str:
    """The page as it should be: what was written by hand, and the reference."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[0] + BEGIN + "\n" + reference()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""docs/cli.md describes the whole command line, and the help texts agree with it."""

from __future__ import annotations

import re

from appid_manager_client.cli.arguments import command_line
from appid_manager_client.cli.exits import MEANINGS, ExitCode
from appid_manager_client.cli.program import COMMANDS
from tests.cli.reference import BEGIN, PAGE, page, reference


def test_the_reference_is_what_the_parser_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.cli.reference"


def test_what_is_written_by_hand_names_only_what_there_is() -> None:
    by_hand = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", by_hand))
    assert options <= set(re.findall(r"--[a-z-]+", reference()))
    named = set(re.findall(r"appid-manager(?: --json)? ([a-z]+)", by_hand))
    assert named <= set(COMMANDS)


def test_every_exit_code_has_a_meaning() -> None:
    documented = {code for code, _ in MEANINGS}
    assert {str(int(code)) for code in ExitCode} <= documented


def test_every_command_has_a_function_and_a_description() -> None:
    commands = command_line().commands
    assert set(commands) == set(COMMANDS)
    assert all(command.description for command in commands.values())


def test_help_shows_the_exit_codes() -> None:
    shown = command_line().format_help()
    assert all(re.search(rf"^  {re.escape(code)} +\S", shown, re.M) for code, _ in MEANINGS)

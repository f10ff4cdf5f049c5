"""docs/cli.md says what the command line is, in all that it is."""

from __future__ import annotations

import re

import pytest

from appid_manager_client.cli import _COMMANDS
from appid_manager_client.cli.exits import MEANINGS, ExitCode
from appid_manager_client.cli.parser import build_parser
from tests.cli.reference import PAGE, commands, page


def test_the_reference_is_what_the_parser_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.cli.reference"


def test_every_exit_code_has_a_meaning() -> None:
    documented = {code for code, _ in MEANINGS}
    assert {str(int(code)) for code in ExitCode} <= documented


def test_every_command_is_there_and_says_what_it_does() -> None:
    found = commands(build_parser())
    assert set(found) == set(_COMMANDS)
    assert all(command.description for command in found.values())


def test_help_shows_the_exit_codes() -> None:
    shown = build_parser().format_help()
    assert all(re.search(rf"^  {re.escape(code)} +\S", shown, re.M) for code, _ in MEANINGS)


@pytest.mark.parametrize("option", ["--url", "--token", "--timeout", "--json", "--verbose"])
def test_the_global_options_are_documented(option: str) -> None:
    assert f"{option}" in PAGE.read_text(encoding="utf-8")

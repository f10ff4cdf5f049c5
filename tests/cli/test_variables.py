"""Settings of the service from variables: which there are, what wins, and what a bad one says."""

from __future__ import annotations

import argparse
import os
import re

import pytest

from appid_manager_client.cli.arguments import command_line
from appid_manager_client.cli.variables import variable_of
from tests.cli.command import Cli, Spawn


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("APPID_MANAGER_")]:
        monkeypatch.delenv(name)


def parse(*arguments: str) -> argparse.Namespace:
    return command_line().parse(["serve", *arguments])


def test_every_setting_of_serve_can_come_from_a_variable() -> None:
    """Not --change-hours, which is an act: a variable would repeat it at every start."""
    line = command_line()
    serve = line.commands["serve"]
    options = set(re.findall(r"--[a-z-]+", serve.format_usage()))
    own = options - line.global_options - {"--help", "--change-hours"}
    assert {setting.variable for setting in serve.settings} == {variable_of(name) for name in own}
    for setting in serve.settings:
        assert setting.variable in serve.format_help()


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("APPID_MANAGER_HOST", "::1", "host", "::1"),
        ("APPID_MANAGER_PORT", " 8080 ", "port", 8080),
        ("APPID_MANAGER_DATABASE", "/var/lib/a b.db", "database", "/var/lib/a b.db"),
        ("APPID_MANAGER_HOUR_SECONDS", "60", "hour_seconds", 60),
        ("APPID_MANAGER_INSECURE", "Yes", "insecure", True),
        ("APPID_MANAGER_INSECURE", "0", "insecure", False),
        (
            "APPID_MANAGER_ALLOWED_HOST",
            "box, box:5000 b",
            "allowed_hosts",
            ["box", "box:5000", "b"],
        ),
        ("APPID_MANAGER_LOG_FORMAT", "json", "log_format", "json"),
    ],
)
def test_a_variable_is_read_as_its_option(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(parse(), name) == value


def test_an_option_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPID_MANAGER_PORT", "nonsense that nobody reads")
    monkeypatch.setenv("APPID_MANAGER_INSECURE", "no")
    arguments = parse("--port", "0", "--insecure")
    assert (arguments.port, arguments.insecure) == (0, True)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = command_line().commands["serve"].settings
    unset = vars(parse())
    for setting in settings:
        monkeypatch.setenv(setting.variable, " ")
    assert vars(parse()) == unset


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("APPID_MANAGER_PORT", "http", "must be a whole number, not 'http'"),
        ("APPID_MANAGER_PORT", "-1", "must be 0 or more, not '-1'"),
        ("APPID_MANAGER_PORT", "65536", "must be a whole number from 0 to 65535"),
        ("APPID_MANAGER_INSECURE", "maybe", "must be 1 (yes) or 0 (no), not 'maybe'"),
        ("APPID_MANAGER_HISTORY_DAYS", "0", "must be a whole number from 1 to 36500"),
        ("APPID_MANAGER_TIMEZONE", "Mars/Base", "must be an IANA time zone"),
        ("APPID_MANAGER_DATABASE", "a%b", "must name an SQLite file"),
        ("APPID_MANAGER_LOG_FORMAT", "xml", "must be text or json, not 'xml'"),
        ("APPID_MANAGER_PUBLIC_URL", "http://a b.example", "must be a URL like"),
        ("APPID_MANAGER_ALLOWED_HOST", "*", "must be a host or host:port, not '*'"),
    ],
)
def test_a_variable_that_can_t_be_used_is_named(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, problem: str
) -> None:
    monkeypatch.setenv(variable, text)
    refused = cli("serve", token=None)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"appid-manager: {variable} {problem}")
    assert refused.err.count("\n") == 1


def test_a_variable_of_the_service_means_nothing_to_other_commands(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPID_MANAGER_PORT", "nonsense")
    assert cli("health").code == 0


def test_the_service_takes_its_settings_from_variables(
    spawn: Spawn, tmp_path: os.PathLike[str]
) -> None:
    file = os.path.join(tmp_path, "appids.db")
    environment = {**os.environ, "APPID_MANAGER_PORT": "0", "APPID_MANAGER_DATABASE": file}
    line = spawn("serve", env=environment).line()
    assert ":5000" not in line
    assert file in line

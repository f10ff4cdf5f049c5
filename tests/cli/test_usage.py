"""Wrong usage and refused settings: one line in terms of options, exit code 2, and no token."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from appid_manager_client import __version__
from appid_manager_client.cli import parser
from appid_manager_client.cli.arguments import command_line
from appid_manager_client.cli.errors import OPTIONS
from appid_manager_client.cli.program import COMMANDS
from appid_manager_client.config import Settings
from appid_manager_client.lease.options import LeaseOptions
from appid_manager_client.server import ServiceSettings
from appid_manager_client.testing import LocalService
from tests.cli.command import NO_URL, TOKEN, Cli
from tests.cli.reference import reference
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["acquire"], "the following arguments are required: PRODUCT"),
        (["statu"], "unknown command; did you mean 'status'?"),
        (["nonsense"], "unknown command; choose from health, status, "),
        (["run", "p"], "run: the command is required, after --"),
        (["acquire", "p", "q", "r"], "too many arguments (2 more than expected"),
        (["--timeout", "nan", "health"], "must be 0 or more seconds, not 'nan'"),
        (["acquire", "p", "--max-retries", "x"], "invalid whole number value: 'x'"),
        (["--product", "p", "status"], "unknown option --product before the command"),
        (["help", "statsu"], "unknown command; did you mean 'status'?"),
        (["acquire", " "], "PRODUCT is required"),
        (["release", "p", ""], "APPID is required"),
        (["release", "p", "\udcff"], "APPID holds characters that can't be sent: '\\udcff'"),
        (["why", ""], "PRODUCT is required"),
        (["status", ""], "PRODUCT is required"),
        (["status", "p", "--product", "q"], "PRODUCT and --product name two products"),
        (["history", "--appid", " "], "--appid is required"),
        (["history", "--limit", "0"], "argument --limit: must be 1 to 10000, not '0'"),
        (["status", "--watch", "1e300"], "--watch: must be at most 1000000000 seconds"),
        (["reap", "--every", "0"], "argument --every: must be more than 0 seconds"),
        (["reap", "--every", "soon"], "--every: invalid number of seconds value: 'soon'"),
        (["acquire", "p", "--holder", " "], "argument --holder: is required"),
        (["acquire", "p", "--holder", "h" * 201], "--holder: must have at most 200 characters"),
        (["acquire", "p", "--ttl", "0.5"], "argument --ttl: must be 1 to 3600 seconds, not '0.5'"),
        (["run", "p", "--ttl", "3601", "--", "true"], "--ttl: must be 1 to 3600 seconds"),
        (["run", "p", "--min-remaining", "3600", "--", "true"], "--min-remaining: must be less"),
        (["backup", "-"], "FILE must name a file, not '-'"),
        (["init", "p", "-", "--reset", "--keep-state"], "not allowed with argument --reset"),
        (["serve", "--database", ""], "--database must name an SQLite file"),
        (["serve", "--database", "a?b"], "--database must name an SQLite file, without '?' and"),
        (["backup", "c", "--database", "a%b"], "--database must name an SQLite file, without"),
        (["completion", "ksh"], "argument SHELL: invalid choice: 'ksh'"),
        (["--url", "ftp://x", "health"], "--url must look like http://host:port, not 'ftp://x'"),
        (["--timeout", "86401", "health"], "--timeout must be more than 0 and at most 86400"),
        (["--token", "", "status"], "--token holds no usable token"),
        (["--url", "http://u:pw@x", "health"], "--url must not hold a user name or password"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(
    cli: Cli, arguments: list[str], message: str
) -> None:
    ran = cli(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert "pw" not in ran.err


def test_a_setting_from_the_environment_is_named_as_its_variable(cli: Cli) -> None:
    ran = cli("status", token=" ")
    assert ran.code == 2
    assert ran.err.startswith("appid-manager: APPID_MANAGER_TOKEN holds no usable token")


@pytest.mark.parametrize("product", ["my_base_url", "auth_token of host", "--url"])
def test_a_name_that_looks_like_a_setting_is_shown_as_it_is(cli: Cli, product: str) -> None:
    ran = cli("acquire", "--no-wait", "--", product)
    assert ran.code == 6
    assert f"product {product!r}" in ran.err


def test_every_setting_that_is_shown_as_an_option_has_that_option() -> None:
    settings = {field.name for kind in (Settings, ServiceSettings) for field in fields(kind)}
    assert OPTIONS.keys() <= settings
    assert set(OPTIONS.values()) <= set(re.findall(r"--[a-z-]+", reference()))


@pytest.mark.parametrize(
    "arguments",
    [
        ["acquire", "--token", TOKEN],
        ["acquire", "p", "--tokn", TOKEN],
        ["status", f"--tokn={TOKEN}"],
        ["--tokn", TOKEN, "status"],
        ["--tokn", TOKEN],
    ],
)
def test_a_misplaced_token_is_not_repeated(cli: Cli, arguments: list[str]) -> None:
    # The fixture looks for it in all that is written.
    assert cli(*arguments).code == 2


def test_a_wrong_token_exits_with_4_and_is_not_shown(cli: Cli) -> None:
    ran = cli("--token", "some-wrong-token", "-vv", "status", token=None)
    assert ran.code == 4
    assert "check the token (--token or APPID_MANAGER_TOKEN)" in ran.err
    assert "some-wrong-token" not in ran.err


def test_the_token_is_in_no_detailed_log(cli: Cli, product: str) -> None:
    # The fixture looks for it in all that is written.
    assert cli("-vv", "acquire", product).code == 0
    assert cli("--token", TOKEN, "-vv", "status", token=None).code == 0


def test_version_names_the_program(cli: Cli) -> None:
    assert cli("--version").out == f"appid-manager {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "-vv", "status"],
        ["status", "--json", "-vv"],
        ["-v", "status", "--json", "-v"],
        ["status", "--json", "--verbose", "--verbose"],
    ],
)
def test_global_options_stand_before_the_command_or_after_it(
    cli: Cli, arguments: list[str]
) -> None:
    asked = command_line().parse(arguments)
    assert (asked.json, asked.verbose) == (True, 2)
    assert json.loads(cli(*arguments).out)["total"] >= 0


def test_of_an_option_that_is_given_twice_the_last_one_counts(cli: Cli, product: str) -> None:
    token = ("--token", TOKEN)
    assert cli("--token", "wrong", "status", *token, token=None).code == 0
    assert cli(*token, "status", "--token", "wrong", token=None).code == 4
    assert cli("--timeout", "3", "acquire", product, "--timeout", "0").code == 0


def test_the_bare_command_prints_its_help(cli: Cli) -> None:
    ran = cli()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == cli("--help").out == cli("help").out


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_shows_the_help_of_a_command(cli: Cli, command: str) -> None:
    ran = cli("help", command)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == cli(command, "--help").out
    assert "--url URL" in ran.out


def test_help_loads_only_what_it_needs() -> None:
    program = (
        "import sys; from appid_manager_client.cli import main\n"
        "try: main(['acquire', '--help'])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    loaded = set(run_python("-c", program).stderr.split())
    heavy = {"requests", "urllib3", "wrapt", "ssl", "asyncio", "sqlite3", "sqlalchemy", "shtab"}
    assert "argparse" in loaded
    assert not loaded & heavy
    assert not {name for name in loaded if name.startswith("appid_manager_client.lease")}


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=PATIENCE
    )


def test_the_package_itself_is_the_command() -> None:
    ran = run_python("-m", "appid_manager_client", "--version")
    assert ran.stdout == f"appid-manager {__version__}\n"


@pytest.mark.parametrize("command", ["status", "products", "reap", "acquire", "init", "run"])
def test_without_a_url_a_command_says_how_to_name_a_service(
    cli: Cli, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "appids.json"
    file.write_text('{"a": 1}')
    more = {"acquire": ["p"], "init": ["p", str(file)], "run": ["p", "--", "true"]}
    ran = cli(command, *more.get(command, []), url=NO_URL)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "appid-manager: no service is named: pass --url, set APPID_MANAGER_URL, "
        "or start one with 'appid-manager serve' and use its URL\n"
    )


def test_an_empty_url_variable_is_an_error_that_names_it_where_it_would_be_used(cli: Cli) -> None:
    ran = cli("status", url="")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("appid-manager: APPID_MANAGER_URL is empty: set it to the service")
    assert cli("help", url="").code == 0


def test_an_empty_url_variable_is_no_error_where_a_url_is_given(
    cli: Cli, shared_service: LocalService
) -> None:
    assert cli("status", "--url", shared_service.url, url="").code == 0


def test_other_empty_variables_count_as_unset(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPID_MANAGER_TIMEOUT", "")
    monkeypatch.setenv("APPID_MANAGER_JOURNAL", "")
    assert cli("status").code == 0


def test_what_the_parser_refuses_is_what_the_library_would_refuse() -> None:
    LeaseOptions(ttl=parser.LONGEST_TTL)
    with pytest.raises(ValueError):
        LeaseOptions(ttl=parser.LONGEST_TTL + 1)

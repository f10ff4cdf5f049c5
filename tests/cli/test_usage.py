"""Wrong usage and refused settings: one line in terms of options, exit code 2, and no token."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from appid_manager_client import __version__
from appid_manager_client.cli.errors import OPTIONS
from appid_manager_client.config import Settings
from appid_manager_client.server import ServiceSettings
from tests.cli.command import TOKEN, Cli
from tests.cli.reference import reference


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
        (["status", "--json"], "--json is a global option: it stands before the command"),
        (["acquire", " "], "product_name is required"),
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
        ["status", "--token", TOKEN],
        ["status", f"--token={TOKEN}"],
        ["acquire", "--token", TOKEN],
        ["--tokn", TOKEN, "status"],
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

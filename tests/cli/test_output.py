"""What is written: text from outside is escaped, in every encoding; stdout that takes nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.cli.command import Cli, Ran, Spawn, endings

APPID, VID = "kennung-é\x1b[2J\u202e", "v-\N{SNOWMAN}\N{ROCKET}\x9b\ntwo\u3000"
ESCAPED = "kennung-\\xe9\\x1b[2J\\u202e\tv-\\u2603\\U0001f680\\x9b\\ntwo\\u3000"
ENCODINGS = [
    "ascii",
    "ascii:ignore",
    "ascii:replace",
    "ascii:xmlcharrefreplace",
    "ascii:surrogateescape",
]


@pytest.fixture
def service() -> Iterator[LocalService]:
    """A service with one AppID `a1` of `p`, and one with odd letters of `odd`."""
    with LocalService() as running, AppIdClient(running.url) as client:
        client.init_product("p", {"a1": "v1"})
        client.init_product("odd", {APPID: VID})
        yield running


def run(spawn: Spawn, service: LocalService, encoding: str, *arguments: str) -> Ran:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return spawn("--url", service.url, *arguments, env=environment).end()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_an_encoding_does_not_have_is_escaped(
    spawn: Spawn, service: LocalService, encoding: str
) -> None:
    ran = run(spawn, service, encoding, "acquire", "odd")
    assert ran == Ran(0, ESCAPED + "\n", "")


def test_what_an_encoding_has_is_written_as_it_is(spawn: Spawn, service: LocalService) -> None:
    ran = run(spawn, service, "utf-8", "acquire", "odd")
    assert ran.out.startswith("kennung-é\\x1b[2J")
    assert "\N{SNOWMAN}\N{ROCKET}\\x9b" in ran.out


@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-8"])
def test_json_says_the_same_in_every_encoding_and_holds_no_control_character(
    spawn: Spawn, service: LocalService, encoding: str
) -> None:
    ran = run(spawn, service, encoding, "--json", "acquire", "odd")
    found = json.loads(ran.out)
    assert (ran.code, found["appid"], found["vid"]) == (0, APPID, VID)
    assert ran.out.rstrip("\n").isprintable()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_a_shell_gets_exactly_the_appid_and_its_vid(
    spawn: Spawn, service: LocalService, encoding: str, shell: str
) -> None:
    ran = run(spawn, service, encoding, "acquire", "odd", "--shell")
    assert all(line.isprintable() for line in ran.out.splitlines())
    script = ran.out + 'printf \'%s\\0%s\\0\' "$APPID" "$APPID_VID"'
    try:
        shown = subprocess.run([shell, "-c", script], capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip(f"no {shell} here")
    assert shown.decode().split("\0")[:2] == [APPID, VID]


def test_errors_as_json_hold_no_control_character(spawn: Spawn, service: LocalService) -> None:
    ran = run(spawn, service, "ascii", "--json", "acquire", "no\x9b-\N{SNOWMAN}")
    assert ran.code == 6
    assert "no\\x9b-\N{SNOWMAN}" in json.loads(ran.err)["message"]
    assert ran.err.isascii()


@pytest.mark.parametrize("command", [["status"], ["history"], ["products"], ["why", "odd"]])
def test_tables_hold_no_control_character_and_fit_the_encoding(
    spawn: Spawn, service: LocalService, command: list[str]
) -> None:
    with AppIdClient(service.url) as client, client.lease("odd", holder="h-é\x1b]0;x\x07"):
        ran = run(spawn, service, "ascii", *command)
    assert (ran.code, ran.err) == (0, "")
    assert all(line.isprintable() for line in ran.out.splitlines())
    assert ran.out.isascii() and ("h-\\xe9\\x1b]0;x\\x07" in ran.out or command == ["products"])


def test_a_log_line_holds_no_control_character(cli: Cli) -> None:
    ran = cli("-vv", "acquire", "odd\x1b[2J\x9b", "--no-wait")
    assert ran.code == 6
    assert "odd\\x1b[2J\\x9b" in ran.err and "\x1b" not in ran.err and "\x9b" not in ran.err


def test_a_command_gets_its_appid_in_utf8_where_the_locale_is_ascii(
    spawn: Spawn, service: LocalService, tmp_path: Path
) -> None:
    with AppIdClient(service.url) as client:
        client.init_product("p", {"kennung-é": "v"})
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    file = tmp_path / "appid"
    command = ("sh", "-c", f'printf %s "$APPID" > {file}')
    ran = spawn(
        "--url", service.url, "run", "p", "--", *command, env={**os.environ, **locale}
    ).end()
    assert (ran.code, ran.err) == (0, "")
    assert file.read_text("utf-8") == "kennung-é"


@pytest.mark.parametrize(
    ("redirection", "message"),
    [
        (">/dev/full", "standard output can't be written: No space left on device"),
        (">&-", "standard output is closed"),
    ],
)
@pytest.mark.parametrize("how", [[], ["--json"], ["--shell"]])
def test_an_appid_that_stdout_does_not_take_is_given_back(
    spawn: Spawn, service: LocalService, redirection: str, message: str, how: list[str]
) -> None:
    ran = spawn.redirected(redirection, "--url", service.url, "acquire", "p", *how).end()
    shown = json.loads(ran.err)["message"] if "--json" in how else ran.err
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert message in shown
    assert endings(service) == ["released"]


def test_an_appid_that_an_encoding_can_not_write_at_all_is_given_back(
    spawn: Spawn, service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    ran = run(spawn, service, "undefined", "acquire", "p")
    assert ran.code == 1  # not 2: it was sent
    assert endings(service) == ["released"]


@pytest.mark.parametrize("command", [["--help"], ["--version"], [], ["help"], ["status"]])
def test_a_full_stdout_is_one_line_and_exits_with_1(
    spawn: Spawn, service: LocalService, command: list[str]
) -> None:
    url = () if "--" in str(command) or not command else ("--url", service.url)
    ran = spawn.redirected(">/dev/full", *url, *command).end()
    assert ran == Ran(
        1, "", "appid-manager: standard output can't be written: No space left on device\n"
    )

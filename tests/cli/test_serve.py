"""`appid-manager serve`: where it listens, what stops it, and settings that it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest
import requests

from appid_manager_client import AppIdClient
from tests.cli.command import Cli, Ran, Spawn


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_it_says_where_it_listens_and_a_signal_stops_it(
    spawn: Spawn, tmp_path: Path, name: str
) -> None:
    environment = {**os.environ, "APPID_MANAGER_TOKEN": "t0p-secret"}
    file = tmp_path / "appids.db"
    database = "sqlite:///" + os.path.relpath(file)
    serving = spawn("serve", "--port", "0", "--database", database, env=environment)
    line = serving.line()
    url = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert url is not None and f"(token required, {file})" in line
    with AppIdClient(url.group(), auth_token="t0p-secret") as client:
        assert client.init_product("p", {"a1": "v1"})
    serving.send(getattr(signal, name))
    ended = serving.end()
    assert ended.code == 0
    assert "t0p-secret" not in line + ended.out + ended.err


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_it_serves_where_stdout_takes_nothing(
    spawn: Spawn, tmp_path: Path, redirection: str
) -> None:
    options = ("serve", "--port", "0", "--database", str(tmp_path / "appids.db"))
    serving = spawn.redirected(redirection, *options)
    url = re.search(r"http://127\.0\.0\.1:\d+", serving.error_line())
    assert url is not None
    with AppIdClient(url.group()) as client:
        assert client.health_check()
    serving.send(signal.SIGTERM)
    assert serving.end() == Ran(0, "", "")


def test_its_log_is_one_json_object_a_line_on_demand(spawn: Spawn, tmp_path: Path) -> None:
    options = ("--port", "0", "--database", str(tmp_path / "appids.db"), "--log-format", "json")
    serving = spawn("-v", "serve", *options)
    url = re.search(r"http://127\.0\.0\.1:\d+", serving.line())
    assert url is not None
    origin = {"Origin": "https://evil.example", "X-API-Key": "t0p-secret"}
    requests.post(f"{url.group()}/api/appid/init", json={}, headers=origin, timeout=30)
    serving.send(signal.SIGTERM)
    lines = [json.loads(line) for line in serving.end().err.splitlines()]
    events = {line["event"]: line for line in lines if "event" in line}
    assert {"started", "foreign_origin", "stopped"} <= events.keys()
    assert events["started"]["url"] == url.group()
    assert events["foreign_origin"]["value"] == "https://evil.example"
    assert "t0p-secret" not in str(lines)


def test_a_database_can_be_given_as_a_path(spawn: Spawn, tmp_path: Path) -> None:
    file = tmp_path / "with #1 and ä@b:c.db"
    serving = spawn("serve", "--port", "0", "--database", os.path.relpath(file))
    assert f"(no token, {file})" in serving.line()
    assert file.is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--token", "a b", "serve"], r"--token or APPID_MANAGER_TOKEN must be "),
        (["serve", "--token", ""], r"--token or APPID_MANAGER_TOKEN must be "),
        (["serve", "--database", ":memory:"], r"--database must be .* names no file"),
        (["serve", "--hour-seconds", "0"], r"--hour-seconds must be "),
        (["serve", "--timezone", "Mars/Base"], r"--timezone must be "),
        (["serve", "--host", "0.0.0.0"], r"--token or APPID_MANAGER_TOKEN is required.*--insecure"),
    ],
)
def test_an_unusable_setting_is_named_as_its_option(
    cli: Cli, arguments: list[str], message: str
) -> None:
    refused = cli(*arguments, "--port", "0", token=None)
    assert (refused.code, refused.out) == (2, "")
    assert re.match(rf"appid-manager: {message}", refused.err)
    assert refused.err.count("\n") == 1
    assert "a b" not in refused.err


def test_a_database_that_can_t_be_used_is_one_line_and_exit_1(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "appids.db"
    file.write_text("something else entirely")
    refused = cli("serve", "--port", "0", "--database", str(file))
    assert (refused.code, refused.out) == (1, "")
    assert re.match(r"appid-manager: --database .* the file is no SQLite database", refused.err)
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_missing_extra_is_one_line_that_names_what_to_install(spawn: Spawn, command: str) -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys("
        "['uvicorn', 'starlette', 'pydantic', 'sqlalchemy', 'uvloop', 'httptools'])); "
        "from appid_manager_client.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    ran = spawn(command, program=(sys.executable, "-c", program)).end()
    assert (ran.code, ran.out) == (2, "")
    assert 'pip install "appid-manager-client[server]"' in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(("scheme", "secure"), [("https", True), ("http", False)])
def test_sessions_of_browsers_are_secure_where_they_come_by_https(
    spawn: Spawn, tmp_path: Path, scheme: str, secure: bool
) -> None:
    options = ["--port", "0", "--database", str(tmp_path / "appids.db")]
    options += ["--public-url", f"{scheme}://appids.example", "--token", "t0p-secret"]
    serving = spawn("serve", *options)
    url = re.search(r"http://127\.0\.0\.1:\d+", serving.line())
    assert url is not None
    answer = requests.post(
        f"{url.group()}/session",
        data={"token": "t0p-secret"},
        headers={"Origin": f"{scheme}://appids.example"},
        allow_redirects=False,
        timeout=30,
    )
    assert answer.status_code == 303
    assert ("; Secure" in answer.headers["set-cookie"]) is secure
    serving.send(signal.SIGTERM)
    assert "t0p-secret" not in serving.end().err

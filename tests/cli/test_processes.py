"""The command as a process: signals, pipes, the terminal, `serve`, and `demo`."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.field import FIELD_TOKEN, FieldService
from tests.support.waiting import PATIENCE, wait_until

Spawn = Callable[..., subprocess.Popen[str]]


def _exhaust(service: LocalService) -> AppIdClient:
    """A service with one AppID, used up for this hour, whose clock stands still."""
    service.clock.freeze()
    client = AppIdClient(service.url)
    client.init_product("p", {"a1": 1})
    client.release_appid(client.acquire_appid("p").appid, "p")
    return client


def _read_until(master: int, pattern: str) -> str:
    """What is written to a terminal until `pattern` shows up."""
    shown, deadline = "", time.monotonic() + PATIENCE
    while not re.search(pattern, shown):
        left = deadline - time.monotonic()
        assert left > 0, f"no {pattern!r} in {shown!r}"
        if select.select([master], [], [], left)[0]:
            try:
                shown += os.read(master, 4096).decode()
            except OSError:  # the other side is closed
                break
    assert re.search(pattern, shown), f"no {pattern!r} in {shown!r}"
    return shown


def test_ctrl_c_while_waiting_exits_with_130_and_says_nothing(spawn: Spawn) -> None:
    with FieldService() as service:
        service.init("p", {"a1": 1})
        service.model.acquire({"productName": "p"})
        waiting = spawn("--url", service.url, "--token", FIELD_TOKEN, "acquire", "p")
        wait_until(lambda: service.calls_of("status"), what="the acquire was told to wait")
        waiting.send_signal(signal.SIGINT)
        assert (waiting.wait(PATIENCE), waiting.communicate()) == (130, ("", ""))


def test_an_acquire_that_is_interrupted_on_the_wire_gives_back_what_it_gets(spawn: Spawn) -> None:
    with FieldService() as service:
        service.init("p", {"a1": 1})
        hold = service.hold("acquire")
        waiting = spawn("--url", service.url, "--token", FIELD_TOKEN, "acquire", "p")
        wait_until(lambda: service.calls_of("acquire"), what="the acquire is on the wire")
        waiting.send_signal(signal.SIGINT)
        hold.release()
        assert (waiting.wait(PATIENCE), waiting.communicate()) == (130, ("", ""))
        assert service.in_use() == []


def test_nothing_is_said_about_waiting_where_stderr_is_no_terminal(spawn: Spawn) -> None:
    with LocalService() as service, _exhaust(service):
        service.set_time(service.hour.end - 1500)
        service.clock.unfreeze()
        got = spawn("--url", service.url, "acquire", "p")
        out, err = got.communicate(timeout=PATIENCE)
        assert (got.returncode, out, err) == (0, "a1\t1\n", "")


def test_a_wait_on_a_terminal_counts_down_and_the_line_is_taken_away(spawn: Spawn) -> None:
    master, slave = pty.openpty()
    try:
        with LocalService() as service, _exhaust(service):
            service.set_time(service.hour.end - 2500)
            service.clock.unfreeze()
            got = spawn("--url", service.url, "acquire", "p", stderr=slave)
            shown = _read_until(master, r"waiting for p: next chance in 0:0\d, at \d\d:\d\d:\d\d")
            shown += _read_until(master, r"\r\x1b\[K")
            assert got.communicate(timeout=PATIENCE)[0] == "a1\t1\n"
    finally:
        os.close(master)
        os.close(slave)
    assert "\n" not in shown


def test_an_appid_that_nobody_reads_is_given_back(spawn: Spawn) -> None:
    read, write = os.pipe()
    os.close(read)
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a1": 1})
        got = spawn("--url", service.url, "acquire", "p", stdout=write)
        os.close(write)
        assert got.wait(PATIENCE) == 141
        assert got.stderr is not None and got.stderr.read() == ""
        assert [lease["ended"] for lease in service.history("p")] == ["released"]


def test_a_watched_status_goes_on_until_ctrl_c(spawn: Spawn) -> None:
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a1": 1})
        watching = spawn("--url", service.url, "--json", "status", "--watch", "0.05")
        assert watching.stdout is not None
        for _ in range(3):
            assert json.loads(watching.stdout.readline())["total"] == 1
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE) == 130


def test_serve_says_where_it_listens_and_stops_on_sigterm(spawn: Spawn) -> None:
    environment = {**os.environ, "APPID_MANAGER_TOKEN": "t0p-secret"}
    file = f"{os.environ['HOME']}/appids.db"
    database = "sqlite:///" + os.path.relpath(file)
    served = spawn("serve", "--port", "0", "--database", database, env=environment)
    assert served.stdout is not None and served.stderr is not None
    line = served.stdout.readline()
    url = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert url is not None and f"(token required, {file})" in line
    with AppIdClient(url.group(), auth_token="t0p-secret") as client:
        assert client.init_product("p", {"a1": "v1"})
    served.send_signal(signal.SIGTERM)
    assert served.wait(PATIENCE) == 0
    assert "t0p-secret" not in line + served.stdout.read() + served.stderr.read()


def test_serve_refuses_to_be_reached_by_others_without_a_token(spawn: Spawn) -> None:
    refused = spawn("serve", "--host", "0.0.0.0", "--port", "0")
    out, err = refused.communicate(timeout=PATIENCE)
    assert (refused.returncode, out) == (2, "")
    assert "--insecure" in err and "--token or APPID_MANAGER_TOKEN" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--token", "a b", "serve"], "--token or APPID_MANAGER_TOKEN must"),
        (["serve", "--hour-seconds", "0"], "--hour-seconds must"),
        (["serve", "--timezone", "Mars/Base"], "--timezone must"),
    ],
)
def test_what_serve_can_not_use_is_named_as_the_option_that_it_is(
    spawn: Spawn, arguments: list[str], option: str
) -> None:
    refused = spawn(*arguments, "--port", "0")
    out, err = refused.communicate(timeout=PATIENCE)
    assert (refused.returncode, out) == (2, "")
    assert err.startswith(f"appid-manager: {option}") and err.count("\n") == 1
    assert "a b" not in err


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_missing_extra_is_one_line_that_names_what_to_install(command: str) -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys("
        "['uvicorn', 'starlette', 'pydantic', 'sqlalchemy', 'uvloop', 'httptools'])); "
        "from appid_manager_client.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, command], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert 'pip install "appid-manager-client[server]"' in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_the_demo_ends_with_ok(spawn: Spawn) -> None:
    shown = spawn("demo")
    out, err = shown.communicate(timeout=90)
    assert (shown.returncode, err) == (0, "")
    assert out.endswith("no AppID twice in an hour, none in use: ok\n")


def test_the_demo_can_be_interrupted(spawn: Spawn) -> None:
    shown = spawn("demo")
    assert shown.stdout is not None and shown.stderr is not None
    while "has appid" not in shown.stdout.readline():
        assert shown.poll() is None
    shown.send_signal(signal.SIGINT)
    assert shown.wait(PATIENCE) == 130
    assert "Traceback" not in shown.stderr.read()

"""Commands that wait: the countdown on a terminal, and what Ctrl-C and a closed pipe end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.cli.countdown import Lines
from appid_manager_client.events import Event, EventKind
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.testing import LocalService
from tests.cli.command import Ran, Spawn, endings
from tests.cli.terminal import OwnTerminal
from tests.support.field import FIELD_TOKEN, FieldService
from tests.support.services import use_up
from tests.support.waiting import wait_until


@pytest.fixture
def exhausted(service: LocalService) -> LocalService:
    """The service with its one AppID used up, two and a half seconds before the hour ends."""
    with AppIdClient(service.url) as client:
        use_up(client)
    service.advance_to_next_hour(offset=-2.5)
    return service


def test_a_call_without_an_answer_is_a_wait_too(spawn: Spawn) -> None:
    with FieldService(auth_token=None) as service:
        service.init("p", {"a1": 1})
        hold = service.hold("acquire")
        waiting = spawn("--url", service.url, "--timeout", "60", "acquire", "p")
        said = waiting.error_line()  # after ten seconds
        hold.release()
        assert waiting.end() == Ran(0, "a1\t1\n", "")
    assert said == f"appid-manager: waiting for p: {service.url} has not answered yet"


@pytest.fixture
def terminal() -> Iterator[OwnTerminal]:
    with contextlib.closing(OwnTerminal()) as terminal:
        yield terminal


COMMANDS = {"acquire": ("acquire", "p"), "run": ("run", "p", "--", "true")}


@pytest.fixture
def field(field_service: FieldService) -> FieldService:
    field_service.init("p", {"a1": 1})
    return field_service


@pytest.mark.parametrize(
    ("command", "name"),
    [("acquire", "INT"), *(("run", name) for name in ("TERM", "INT", "HUP", "QUIT", "USR1"))],
)
def test_a_signal_ends_the_wait_for_an_appid(
    spawn: Spawn, field: FieldService, command: str, name: str
) -> None:
    number = getattr(signal, f"SIG{name}")
    field.model.acquire({"productName": "p"})
    waiting = spawn("--url", field.url, "--token", FIELD_TOKEN, *COMMANDS[command])
    wait_until(lambda: field.calls_of("status"), what="the acquire was told to wait")
    assert "waiting for p: next chance in " in waiting.error_line()
    waiting.send(number)
    assert waiting.end() == Ran(128 + number, "", "")


@pytest.mark.parametrize(
    ("command", "number"), [("acquire", signal.SIGINT), ("run", signal.SIGTERM)]
)
def test_an_acquire_whose_answer_comes_after_a_signal_is_given_back(
    spawn: Spawn, field: FieldService, command: str, number: int
) -> None:
    hold = field.hold("acquire")
    waiting = spawn("--url", field.url, "--token", FIELD_TOKEN, *COMMANDS[command])
    hold.wait_reached()
    waiting.send(number)
    hold.release()
    assert waiting.end() == Ran(128 + number, "", "")
    assert field.in_use() == []


def test_a_wait_is_one_line_where_stderr_is_no_terminal(
    spawn: Spawn, exhausted: LocalService
) -> None:
    ran = spawn("--url", exhausted.url, "acquire", "p").end()
    assert (ran.code, ran.out) == (0, "a1\tv1\n")
    assert re.fullmatch(
        r"appid-manager: waiting for p: next chance in 0:0\d, at \d\d:\d\d:\d\d "
        r"\(every AppID is used up for this hour, 1st of 1 in line\)\n",
        ran.err,
    )


def test_a_wait_is_one_json_object_where_json_is_asked_for(
    spawn: Spawn, exhausted: LocalService
) -> None:
    end = exhausted.hour.end
    ran = spawn("--url", exhausted.url, "acquire", "p", "--json").end()
    said = json.loads(ran.err)
    assert (said["waiting"], said["availableAt"]) == ("p", end)
    assert said["reason"] == "every AppID is used up for this hour, 1st of 1 in line"


def test_a_run_that_waits_says_so_too(spawn: Spawn, exhausted: LocalService) -> None:
    ran = spawn("--url", exhausted.url, "run", "p", "--", "echo", "done").end()
    assert (ran.code, ran.out) == (0, "done\n")
    assert "waiting for p: next chance in" in ran.err and ran.err.count("\n") == 1


def test_lines_come_once_a_minute_and_after_ten_minutes_every_ten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    system = ManualTime()
    lines, said = Lines(system), []
    for second in range(0, 3600, 5):
        system.now = float(second)
        lines.write(waiting(), 1.0)
        if capsys.readouterr().err:
            said.append(second)
    assert said == [*range(0, 601, 60), 1200, 1800, 2400, 3000]


def test_a_line_comes_when_the_reason_or_the_time_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = Lines(ManualTime())
    for event in (waiting(), waiting(), waiting("down", None), waiting(), waiting(at=9000.0)):
        lines.write(event, 1.0)
    assert capsys.readouterr().err.count("waiting for p") == 4


def test_text_from_outside_is_escaped_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(ManualTime()).write(waiting("down\x1b[2J\x9b"), 1.0)
    assert "down\\x1b[2J\\x9b" in capsys.readouterr().err


def waiting(reason: str = "in use", at: float | None = 5000.0) -> Event:
    return Event(EventKind.WAITING, "http://service", "p", None, 1.0, reason, at)


class ManualTime(SystemTime):
    """A monotonic clock that the test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_a_wait_on_a_terminal_counts_down_in_a_line_that_is_cleared(
    spawn: Spawn, exhausted: LocalService, terminal: OwnTerminal
) -> None:
    waiting = spawn("--url", exhausted.url, "acquire", "p", stderr=terminal.slave)
    terminal.expect(r"waiting for p: next chance in 0:0\d, at \d\d:\d\d:\d\d")
    terminal.expect(r"\r\x1b\[K")
    assert waiting.end().out == "a1\tv1\n"
    assert "\n" not in terminal.seen


def test_an_appid_that_nobody_reads_is_given_back(spawn: Spawn, service: LocalService) -> None:
    read, write = os.pipe()
    os.close(read)
    unread = spawn("--url", service.url, "acquire", "p", stdout=write)
    os.close(write)
    assert unread.end() == Ran(141, "", "")
    assert endings(service) == ["released"]


def test_a_watched_status_is_repeated_until_ctrl_c(spawn: Spawn, service: LocalService) -> None:
    watching = spawn("--url", service.url, "--json", "status", "--watch", "0.05")
    for _ in range(3):
        assert json.loads(watching.line())["total"] == 1
    watching.send(signal.SIGINT)
    assert watching.code() == 130


def test_a_watched_status_fits_its_terminal(
    spawn: Spawn, service: LocalService, terminal: OwnTerminal
) -> None:
    with AppIdClient(service.url) as client:
        client.init_product("q", {f"{number:03}-{'x' * 90}": number for number in range(40)})
    terminal.resize(columns=60, lines=12)
    watching = spawn("--url", service.url, "status", "--watch", "0.05", stdout=terminal.slave)
    terminal.expect(re.escape("\x1b[H\x1b[2J"))
    shown = terminal.skip_to(re.escape("\x1b[H\x1b[2J")).replace("\r", "").splitlines()
    assert len(shown) == 11 and max(map(len, shown)) == 60
    assert re.fullmatch(r"\.\.\. and \d+ more lines", shown[-1])
    assert any(line.endswith("…") for line in shown)
    watching.send(signal.SIGINT)
    assert watching.code() == 130

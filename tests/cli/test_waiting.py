"""Commands that wait: the countdown on a terminal, and what Ctrl-C and a closed pipe end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.cli.command import Ran, Spawn, endings
from tests.cli.terminal import OwnTerminal
from tests.support.field import FIELD_TOKEN, FieldService
from tests.support.waiting import wait_until


@pytest.fixture
def exhausted(service: LocalService) -> LocalService:
    """The service with its one AppID used up, two and a half seconds before the hour ends."""
    with AppIdClient(service.url) as client:
        client.release_appid(client.acquire_appid("p").appid, "p")
    service.advance_to_next_hour(offset=-2.5)
    return service


@pytest.fixture
def terminal() -> Iterator[OwnTerminal]:
    with contextlib.closing(OwnTerminal()) as terminal:
        yield terminal


def test_ctrl_c_while_waiting_exits_with_130_and_writes_nothing(spawn: Spawn) -> None:
    with FieldService() as service:
        service.init("p", {"a1": 1})
        service.model.acquire({"productName": "p"})
        waiting = spawn("--url", service.url, "--token", FIELD_TOKEN, "acquire", "p")
        wait_until(lambda: service.calls_of("status"), what="the acquire was told to wait")
        waiting.send(signal.SIGINT)
        assert waiting.end() == Ran(130, "", "")


def test_an_acquire_whose_answer_comes_after_ctrl_c_is_given_back(spawn: Spawn) -> None:
    with FieldService() as service:
        service.init("p", {"a1": 1})
        hold = service.hold("acquire")
        waiting = spawn("--url", service.url, "--token", FIELD_TOKEN, "acquire", "p")
        wait_until(lambda: service.calls_of("acquire"), what="the acquire was sent")
        waiting.send(signal.SIGINT)
        hold.release()
        assert waiting.end() == Ran(130, "", "")
        assert service.in_use() == []


def test_a_wait_writes_nothing_where_stderr_is_no_terminal(
    spawn: Spawn, exhausted: LocalService
) -> None:
    assert spawn("--url", exhausted.url, "acquire", "p").end() == Ran(0, "a1\tv1\n", "")


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

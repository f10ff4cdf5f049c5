"""The sweeper: when it looks at the journal, and that nothing ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from appid_manager_client.integrations._journal import (
    journaled_default_client,
    sweep,
    warn_without_journal,
)
from appid_manager_client.integrations._sweeper import Sweeper

from appid_manager_client import AppIdClient, ServiceUnavailable, set_default_client
from tests.support.waiting import PATIENCE, wait_until


class Looks(AppIdClient):
    """A client whose journal is looked at without a service."""

    def __init__(self, journal: Path) -> None:
        super().__init__("http://127.0.0.1:9", journal=journal)
        self.count = 0
        self.error: Exception | None = None
        self.looked = threading.Event()

    def reap(self) -> tuple[()]:  # type: ignore[override]
        self.count += 1
        self.looked.set()
        if self.error is not None:
            raise self.error
        return ()


@pytest.fixture
def looks(tmp_path: Path) -> Iterator[Looks]:
    with Looks(tmp_path / "journal") as client:
        yield client


@pytest.fixture
def sweeper(looks: Looks) -> Iterator[Sweeper]:
    made = Sweeper(lambda: [looks], interval=3600)
    yield made
    made.stop()
    assert "appid-sweeper" not in {thread.name for thread in threading.enumerate()}


def test_it_sweeps_when_it_starts_and_when_it_ends(sweeper: Sweeper, looks: Looks) -> None:
    sweeper.start()
    assert looks.looked.wait(PATIENCE)
    before = looks.count
    sweeper.stop()
    assert looks.count == before + 1


def test_it_sweeps_from_time_to_time(looks: Looks) -> None:
    made = Sweeper(lambda: [looks], interval=0.01)
    made.start()
    try:
        wait_until(lambda: looks.count >= 3, what="it looks again without being told")
    finally:
        made.stop()


def test_it_sweeps_until_a_child_is_gone(sweeper: Sweeper, looks: Looks) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child:
        sweeper.start()
        assert looks.looked.wait(PATIENCE)
        sweeper.watch(child.pid)
        wait_until(lambda: looks.count >= 4, what="it looks again and again")
        before_its_end = looks.count
        child.communicate(b"\n")
        wait_until(lambda: looks.count > before_its_end, what="it looks once more")


def test_it_survives_a_service_that_is_down_and_a_fault(sweeper: Sweeper, looks: Looks) -> None:
    sweeper.start()
    assert looks.looked.wait(PATIENCE)
    for error in (ServiceUnavailable("down"), RuntimeError("a fault")):
        looks.looked.clear()
        looks.error = error
        sweeper.watch(None)
        assert looks.looked.wait(PATIENCE)


def test_its_own_process_is_no_child_to_watch(sweeper: Sweeper, looks: Looks) -> None:
    sweeper.start()
    assert looks.looked.wait(PATIENCE)
    sweeper.watch(os.getpid())
    sweeper.stop()
    assert looks.count == 2


def test_a_client_without_a_journal_is_left_out() -> None:
    with AppIdClient("http://127.0.0.1:9") as client:
        sweep([client])


def test_the_default_client_gets_a_journal(tmp_path: Path) -> None:
    with AppIdClient("http://127.0.0.1:9") as client:
        set_default_client(client)
        assert journaled_default_client() is client
        set_default_client(None)
        assert client.journal == Path(os.environ["XDG_STATE_HOME"], "appid-manager", "journal")


def test_the_default_client_gets_none_where_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APPID_MANAGER_JOURNAL", "off")
    with AppIdClient("http://127.0.0.1:9") as client:
        set_default_client(client)
        assert journaled_default_client().journal is None
        set_default_client(None)


def test_a_journal_that_cant_be_written_is_said_once_and_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with AppIdClient("http://127.0.0.1:9") as client:
        set_default_client(client)
        for _ in range(2):
            assert journaled_default_client().journal is None
        set_default_client(None)
    assert [record.message[:10] for record in caplog.records] == ["no journal"]


def test_a_client_without_a_journal_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    with AppIdClient("http://127.0.0.1:9") as client:
        for _ in range(2):
            warn_without_journal(client, "task transcribe")
    (record,) = caplog.records
    assert "task transcribe" in record.message
    assert "journal=True" in record.message

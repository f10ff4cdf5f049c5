"""The rule by which integrations keep a journal, and their sweep of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from appid_manager_client.integrations._journal import (
    export_journal,
    journal_may_exist,
    journaled_default_client,
    sweep,
    warn_without_journal,
)

from appid_manager_client import AppIdClient, set_default_client
from appid_manager_client.journal.journal import Journal


@pytest.fixture
def default() -> Iterator[AppIdClient]:
    with AppIdClient("http://127.0.0.1:9") as client:
        set_default_client(client)
        yield client
        set_default_client(None)


def state_directory() -> Path:
    return Path(os.environ["XDG_STATE_HOME"], "appid-manager", "journal")


def test_the_default_client_gets_a_journal(default: AppIdClient) -> None:
    assert not journal_may_exist()
    assert journaled_default_client() is default
    assert default.journal == state_directory()
    assert journal_may_exist()


def test_the_default_client_gets_none_where_the_environment_says_so(
    default: AppIdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPID_MANAGER_JOURNAL", "off")
    assert journaled_default_client() is default
    assert default.journal is None


def test_a_journal_that_cant_be_written_is_said_once_and_does_no_harm(
    default: AppIdClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert journaled_default_client() is default
        assert default.journal is None
    assert [record.message[:10] for record in caplog.records] == ["no journal"]


def test_a_client_without_a_journal_is_warned_about_once(
    default: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        warn_without_journal(default, "task transcribe")
    (record,) = caplog.records
    assert "task transcribe" in record.message
    assert "journal=True" in record.message


def test_children_find_the_default_clients_journal_in_their_environment(
    default: AppIdClient, tmp_path: Path
) -> None:
    with AppIdClient(default.base_url, journal=tmp_path) as other:
        export_journal([other, default])  # the default one has none yet
        assert "APPID_MANAGER_JOURNAL" not in os.environ
        export_journal([other, journaled_default_client()])
    assert os.environ["APPID_MANAGER_JOURNAL"] == str(state_directory())


def test_a_client_without_a_journal_is_left_out_of_a_sweep(
    default: AppIdClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with AppIdClient("http://127.0.0.1:9", journal=tmp_path) as other:
        Journal(tmp_path).open(service=other.base_url, product_name="p", request_id="r").leave()
        sweep([default, other])
    (record,) = caplog.records
    assert "could not release yet what a dead process held" in record.getMessage()
    assert default.journal is None, "the sweep gives it none"

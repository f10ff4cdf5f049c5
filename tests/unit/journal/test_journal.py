"""The entry of one lease in the journal, from the acquire to its end."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from appid_manager_client.errors import ConfigurationError
from appid_manager_client.journal.journal import Journal, JournalEntry
from appid_manager_client.journal.lockedfile import LockedFile
from appid_manager_client.journal.record import JournalRecord

from .files import (
    GRANT,
    SERVICE,
    before_each_lock,
    files_no_longer_than,
    locked,
    names,
    only_file,
    open_entry,
    orphan,
    records,
)


def test_an_entry_is_one_private_locked_file_from_the_start(journal: Journal) -> None:
    entry = open_entry(journal)
    path = only_file(journal)
    assert path.name.endswith(".lease")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(BlockingIOError), locked(path):
        pass
    assert records(journal) == []  # nor is it orphaned for its own process
    entry.close()


def test_a_closed_entry_leaves_nothing(journal: Journal) -> None:
    entry = open_entry(journal)
    entry.granted(**GRANT)
    entry.close()
    assert names(journal) == []
    assert records(journal) == []


def test_an_entry_that_was_left_says_everything_that_a_reaper_needs(journal: Journal) -> None:
    before = time.time() * 1000
    entry = open_entry(journal)
    entry.granted(appid="a1", vid=17, start_time=1_700_000_000_000, lease_id="lease-1")
    entry.leave()
    (record,) = records(journal)
    assert before - 1 <= record.created_ms <= time.time() * 1000
    assert record == JournalRecord(
        service=SERVICE,
        product_name="stt",
        request_id="request-1",
        holder="host:7:task",
        created_ms=record.created_ms,
        appid="a1",
        vid=17,
        start_time=1_700_000_000_000,
        lease_id="lease-1",
    )


def test_an_acquire_that_was_never_answered_leaves_its_request(journal: Journal) -> None:
    orphan(journal)
    (record,) = records(journal)
    assert (record.request_id, record.appid, record.start_time) == ("request-1", None, None)


def test_the_grant_is_written_into_the_same_file(journal: Journal) -> None:
    entry = open_entry(journal)
    before = only_file(journal).stat()
    entry.granted(**GRANT)
    after = only_file(journal).stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    entry.close()


def test_a_file_that_somebody_removed_is_closed_all_the_same(journal: Journal) -> None:
    entry = open_entry(journal)
    only_file(journal).unlink()
    entry.granted(**GRANT)
    entry.close()
    assert names(journal) == []


def test_a_directory_that_somebody_removed_is_made_again(journal: Journal) -> None:
    journal.directory.rmdir()
    orphan(journal)
    assert len(records(journal)) == 1
    assert stat.S_IMODE(journal.directory.stat().st_mode) == 0o700


def test_many_threads_share_a_journal(journal: Journal) -> None:
    def work(number: int) -> None:
        entry = open_entry(journal, f"request-{number}")
        entry.granted(**GRANT)
        entry.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(400)))
    assert names(journal) == []


def test_no_descriptor_is_left_open(journal: Journal) -> None:
    before = os.listdir("/proc/self/fd")
    for end in (JournalEntry.close, JournalEntry.leave):
        end(open_entry(journal))
    for entry in journal.orphaned():
        entry.done()
    (journal.directory / "00.lease").write_bytes(b"garbage")
    records(journal)
    assert len(os.listdir("/proc/self/fd")) == len(before)


@contextmanager
def _removed(path: Path) -> Iterator[None]:
    path.unlink()
    yield


@pytest.mark.parametrize("swept", [_removed, locked])
def test_a_creator_whose_temporary_file_is_swept_makes_another(
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    swept: Callable[[Path], AbstractContextManager[None]],
) -> None:
    created: list[Path] = []
    with ExitStack() as sweep:

        def sweep_the_first(path: Path) -> None:
            created.append(path)
            if len(created) == 1:
                sweep.enter_context(swept(path))

        before_each_lock(monkeypatch, sweep_the_first)
        entry = open_entry(journal)
    assert len(created) == 2
    assert len(names(journal, ".lease")) == 1
    entry.close()


def test_a_place_where_every_new_file_is_swept_at_once_is_an_error(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LockedFile, "try_lock", lambda self: False)
    with pytest.raises(ConfigurationError, match="loses its files"):
        open_entry(journal)


@pytest.mark.parametrize("size", [0, 100])
def test_a_lease_that_cannot_be_written_down_is_an_error_and_leaves_nothing(
    journal: Journal, size: int
) -> None:
    with files_no_longer_than(size):
        with pytest.raises(ConfigurationError, match="can't be written") as caught:
            open_entry(journal)
    assert str(journal.directory) in str(caught.value)
    assert names(journal) == []


def test_a_grant_that_cannot_be_written_down_is_a_warning(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    entry = open_entry(journal)
    with files_no_longer_than(10):
        entry.granted(**GRANT)
    assert "nobody releases AppID a1" in caplog.text
    entry.close()
    assert names(journal) == []


def test_a_journal_and_its_entries_say_where_they_are(journal: Journal) -> None:
    entry = open_entry(journal)
    assert repr(journal) == f"Journal({str(journal.directory)!r})"
    assert repr(entry) == f"JournalEntry({str(only_file(journal))!r})"
    entry.leave()
    for orphaned in journal.orphaned():
        assert "request-1" in repr(orphaned)

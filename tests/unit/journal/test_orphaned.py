"""What dead holders left: which files a sweep hands out and to whom, and what it does to others."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

import pytest

from appid_manager_client.journal.journal import Journal
from appid_manager_client.journal.record import FORMAT, encode_line

from .files import (
    GRANT,
    OTHER_SERVICE,
    SERVICE,
    before_each_lock,
    locked,
    names,
    only_file,
    open_entry,
    orphan,
    records,
)


def test_an_entry_that_is_done_is_gone_and_others_stay(journal: Journal) -> None:
    for number in range(3):
        orphan(journal, f"request-{number}")
    for entry in journal.orphaned():
        if entry.record.request_id == "request-1":
            entry.done()
    assert {record.request_id for record in records(journal)} == {"request-0", "request-2"}


def test_an_entry_is_locked_while_a_reaper_works_on_it(journal: Journal) -> None:
    orphan(journal)
    for _ in journal.orphaned():
        assert records(Journal(journal.directory)) == []
    assert len(records(journal)) == 1


def test_a_reaper_that_breaks_off_leaves_the_entry_to_others(journal: Journal) -> None:
    orphan(journal)
    with pytest.raises(ZeroDivisionError):
        for _ in journal.orphaned():
            raise ZeroDivisionError
    assert len(records(journal)) == 1


def test_files_of_other_services_are_neither_handed_out_nor_touched(journal: Journal) -> None:
    orphan(journal, service=OTHER_SERVICE)
    before = only_file(journal).stat()
    with locked(only_file(journal)):
        assert records(journal, SERVICE) == []
    assert records(journal, SERVICE) == []
    assert only_file(journal).stat() == before
    assert len(records(journal, OTHER_SERVICE)) == 1


def test_a_lock_on_a_file_that_is_gone_is_not_believed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = open_entry(journal)
    before_each_lock(monkeypatch, lambda path: entry.close())
    assert records(journal) == []


def test_a_grant_that_comes_just_before_the_kill_is_seen(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = open_entry(journal)

    def grant_and_die(path: Path) -> None:
        entry.granted(**GRANT)
        entry.leave()

    before_each_lock(monkeypatch, grant_and_die)
    assert [record.appid for record in records(journal)] == ["a1"]


def test_a_sweep_of_a_directory_that_is_gone_finds_nothing_and_says_nothing(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.directory.rmdir()
    assert records(journal) == []
    assert caplog.text == ""


def test_a_sweep_of_what_is_no_longer_a_directory_is_a_warning(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.directory.rmdir()
    journal.directory.write_text("")
    assert records(journal) == []
    assert "Not a directory" in caplog.text


def test_an_unreadable_file_is_renamed_with_a_warning_and_the_sweep_goes_on(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    (journal.directory / "00.lease").write_bytes(b"garbage")
    orphan(journal)
    assert len(records(journal)) == 1
    assert "00.lease can't be read" in caplog.text
    assert names(journal, ".unreadable") == ["00.unreadable"]
    caplog.clear()
    assert len(records(journal)) == 1
    assert caplog.text == ""


def test_a_file_that_no_parser_can_take_keeps_no_reaper_from_its_work(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    text = b"[" * 60_000
    (journal.directory / "00.lease").write_bytes(b"%s %08x\n" % (text, zlib.crc32(text)))
    orphan(journal)
    assert len(records(journal, SERVICE)) == 1
    assert "00.lease can't be read" in caplog.text
    assert names(journal, ".unreadable") == ["00.unreadable"]


def test_of_many_unreadable_files_the_latest_are_kept(journal: Journal) -> None:
    for number in range(30):
        path = journal.directory / f"{number:02}.lease"
        path.write_bytes(b"garbage")
        os.utime(path, (number, number))
    records(journal)
    assert names(journal) == [f"{number:02}.unreadable" for number in range(10, 30)]


def test_a_file_of_a_newer_version_is_left_alone_and_warned_about_once(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    line = encode_line({"format": FORMAT + 1, "whatever": True})
    (journal.directory / "00.lease").write_bytes(line)
    for _ in range(2):
        assert records(journal) == []
    assert caplog.text.count("newer version") == 1
    assert only_file(journal).read_bytes() == line


def test_links_pipes_and_directories_are_skipped_and_stay(
    journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "target"
    orphan(journal)
    only_file(journal).rename(target)
    (journal.directory / "a.lease").symlink_to(target)
    os.mkfifo(journal.directory / "b.lease")
    (journal.directory / "c.lease").mkdir()
    (journal.directory / "notes.txt").write_text("mine")
    assert records(journal) == []
    assert names(journal) == ["a.lease", "b.lease", "c.lease", "notes.txt"]
    assert len(caplog.records) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_skipped(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    orphan(journal)
    os.chown(only_file(journal), 12345, 12345)
    assert records(journal) == []
    assert "isn't a plain file of this user" in caplog.text


@pytest.mark.parametrize("age", [3600, -3600])
def test_the_temporary_file_of_a_killed_process_is_swept(journal: Journal, age: int) -> None:
    path = journal.directory / "00.new"
    path.write_bytes(b"")
    os.utime(path, (time.time() - age,) * 2)
    records(journal)
    assert names(journal) == []


def test_a_temporary_file_that_is_fresh_or_locked_stays(journal: Journal) -> None:
    (journal.directory / "fresh.new").write_bytes(b"")
    old = journal.directory / "old.new"
    old.write_bytes(b"")
    os.utime(old, (1, 1))
    with locked(old):
        records(journal)
    assert names(journal) == ["fresh.new", "old.new"]

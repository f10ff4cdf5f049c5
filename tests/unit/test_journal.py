"""The journal within one process: what is written, who may have it, and what becomes of bad files and places."""

from __future__ import annotations

import fcntl
import os
import resource
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appid_manager_client.errors import ConfigurationError
from appid_manager_client.journal import journal as journal_module
from appid_manager_client.journal.journal import (
    Journal,
    JournalEntry,
    JournalRecord,
    default_directory,
)
from appid_manager_client.journal.lockedfile import LockedFile

SERVICE = "http://127.0.0.1:5000"
OTHER_SERVICE = "http://127.0.0.1:5001"
GRANT: dict[str, Any] = {"appid": "a1", "vid": "v1", "start_time": 1_700_000_000_000}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(directory: Path) -> Journal:
    return Journal(directory)


def open_entry(
    journal: Journal, request_id: str = "request-1", service: str = SERVICE
) -> JournalEntry:
    return journal.open(
        service=service, product_name="stt", request_id=request_id, holder="host:7:task"
    )


def abandon(journal: Journal, request_id: str = "request-1", service: str = SERVICE) -> None:
    """Leave an entry as a killed holder does."""
    open_entry(journal, request_id, service).leave()


def records(journal: Journal, service: str | None = None) -> list[JournalRecord]:
    return [entry.record for entry in journal.abandoned(service)]


def names(journal: Journal, suffix: str = "") -> list[str]:
    return sorted(name for name in os.listdir(journal.directory) if name.endswith(suffix))


def only_file(journal: Journal) -> Path:
    (name,) = names(journal)
    return journal.directory / name


@contextmanager
def locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


# A lease's life


def test_an_entry_is_one_private_locked_file_from_the_start(journal: Journal) -> None:
    entry = open_entry(journal)
    path = only_file(journal)
    assert path.name.endswith(".lease")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(BlockingIOError), locked(path):
        pass
    entry.close()


def test_a_closed_entry_leaves_nothing(journal: Journal) -> None:
    entry = open_entry(journal)
    entry.granted(**GRANT)
    entry.close()
    assert names(journal) == []
    assert records(journal) == []


def test_a_held_entry_is_not_abandoned_even_to_its_own_process(journal: Journal) -> None:
    entry = open_entry(journal)
    assert records(journal) == []
    entry.close()


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
    abandon(journal)
    (record,) = records(journal)
    assert (record.request_id, record.appid, record.start_time) == ("request-1", None, None)


@pytest.mark.parametrize("text", ["Grüße\n\t", "\udcff", 'a"b\\c', "x" * 5000])
def test_any_text_comes_back_as_it_was(journal: Journal, text: str) -> None:
    entry = journal.open(service=SERVICE, product_name=text, request_id="r", holder=text)
    entry.granted(appid=text, vid=text, start_time=1)
    entry.leave()
    (record,) = records(journal)
    assert {record.product_name, record.holder, record.appid, record.vid} == {text}


def test_the_grant_is_written_into_the_same_file(journal: Journal) -> None:
    entry = open_entry(journal)
    before = only_file(journal).stat()
    entry.granted(**GRANT)
    after = only_file(journal).stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    entry.close()


def test_an_entry_ends_once(journal: Journal) -> None:
    entry = open_entry(journal)
    entry.close()
    with open(journal.directory / "reuses-the-descriptor", "wb") as other:
        entry.close()
        entry.leave()
        entry.granted(**GRANT)
        other.write(b"untouched")
    assert (journal.directory / "reuses-the-descriptor").read_bytes() == b"untouched"


def test_a_file_that_somebody_tidied_away_is_closed_all_the_same(journal: Journal) -> None:
    entry = open_entry(journal)
    only_file(journal).unlink()
    entry.granted(**GRANT)
    entry.close()
    assert names(journal) == []


def test_a_directory_that_somebody_tidied_away_is_made_again(journal: Journal) -> None:
    journal.directory.rmdir()
    abandon(journal)
    assert len(records(journal)) == 1
    assert stat.S_IMODE(journal.directory.stat().st_mode) == 0o700


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


def test_many_threads_share_a_journal(journal: Journal) -> None:
    def work() -> None:
        for number in range(50):
            entry = open_entry(journal, f"{threading.get_ident()}-{number}")
            entry.granted(**GRANT)
            entry.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert names(journal) == []


def test_no_descriptor_is_left_open(journal: Journal) -> None:
    before = os.listdir("/proc/self/fd")
    for end in (JournalEntry.close, JournalEntry.leave):
        end(open_entry(journal))
    for entry in journal.abandoned():
        entry.done()
    (journal.directory / "00.lease").write_bytes(b"garbage")
    records(journal)
    assert len(os.listdir("/proc/self/fd")) == len(before)


# Reapers


def test_an_entry_that_is_done_is_gone_and_others_stay(journal: Journal) -> None:
    for number in range(3):
        abandon(journal, f"request-{number}")
    for entry in journal.abandoned():
        if entry.record.request_id == "request-1":
            entry.done()
    assert {record.request_id for record in records(journal)} == {"request-0", "request-2"}


def test_an_entry_is_locked_while_a_reaper_works_on_it(journal: Journal) -> None:
    abandon(journal)
    for _ in journal.abandoned():
        assert records(Journal(journal.directory)) == []
    assert len(records(journal)) == 1


def test_a_reaper_that_breaks_off_leaves_the_entry_to_others(journal: Journal) -> None:
    abandon(journal)
    with pytest.raises(ZeroDivisionError):
        for _ in journal.abandoned():
            raise ZeroDivisionError
    assert len(records(journal)) == 1


def test_files_of_other_services_are_neither_given_out_nor_touched(journal: Journal) -> None:
    abandon(journal, service=OTHER_SERVICE)
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
    try_lock = LockedFile.try_lock

    def after_the_holder_closed(self: LockedFile) -> bool:
        entry.close()
        return try_lock(self)

    monkeypatch.setattr(LockedFile, "try_lock", after_the_holder_closed)
    assert records(journal) == []


def test_a_grant_that_comes_just_before_the_kill_is_seen(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = open_entry(journal)
    try_lock = LockedFile.try_lock

    def after_the_holder_died(self: LockedFile) -> bool:
        entry.granted(**GRANT)
        entry.leave()
        return try_lock(self)

    monkeypatch.setattr(LockedFile, "try_lock", after_the_holder_died)
    assert [record.appid for record in records(journal)] == ["a1"]


# Torn, foreign and leftover files


def test_a_torn_grant_is_no_grant_wherever_it_was_torn(journal: Journal) -> None:
    entry = open_entry(journal)
    path = only_file(journal)
    before = path.read_bytes()
    entry.granted(**GRANT)
    after = path.read_bytes()
    entry.leave()
    start = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
    for cut in range(start, after.rindex(b"\n") + 1):
        path.write_bytes(after[:cut] + before[cut:])
        (record,) = records(journal)
        assert (record.request_id, record.appid) == ("request-1", None), cut


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 700, b"garbage", b"\n", b"[1] 00000000\n", b'{"format":1}\n', b"x" * 200_000],
)
def test_garbage_is_set_aside_with_a_warning_and_the_sweep_goes_on(
    journal: Journal, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (journal.directory / "00.lease").write_bytes(content)
    abandon(journal)
    assert len(records(journal)) == 1
    assert "00.lease can't be read" in caplog.text
    assert names(journal, ".unreadable") == ["00.unreadable"]
    caplog.clear()
    assert len(records(journal)) == 1
    assert caplog.text == ""


def test_a_checksum_of_a_record_without_its_fields_is_garbage(journal: Journal) -> None:
    line = journal_module._line({"format": 1, "service": SERVICE})
    (journal.directory / "00.lease").write_bytes(line)
    assert records(journal) == []
    assert names(journal) == ["00.unreadable"]


def test_garbage_does_not_pile_up(journal: Journal) -> None:
    for number in range(30):
        path = journal.directory / f"{number:02}.lease"
        path.write_bytes(b"garbage")
        os.utime(path, (number, number))
    records(journal)
    assert names(journal) == [f"{number:02}.unreadable" for number in range(10, 30)]


def test_a_file_of_a_newer_version_is_left_alone_and_mentioned_once(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    line = journal_module._line({"format": 2, "whatever": True})
    (journal.directory / "00.lease").write_bytes(line)
    for _ in range(2):
        assert records(journal) == []
    assert caplog.text.count("newer version") == 1
    assert only_file(journal).read_bytes() == line


def test_links_pipes_and_directories_are_skipped_and_stay(
    journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "target"
    abandon(journal)
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
    abandon(journal)
    os.chown(only_file(journal), 12345, 12345)
    assert records(journal) == []
    assert "isn't a file of this user" in caplog.text


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


def test_a_creator_whose_temporary_file_was_swept_makes_another(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_lock = LockedFile.try_lock
    swept: list[str] = []

    def after_a_sweep(self: LockedFile) -> bool:
        if not swept:
            swept.append(self.path)
            os.unlink(self.path)
        return try_lock(self)

    monkeypatch.setattr(LockedFile, "try_lock", after_a_sweep)
    entry = open_entry(journal)
    assert len(names(journal, ".lease")) == 1
    entry.close()


def test_a_creator_whose_temporary_file_is_being_swept_makes_another(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_lock = LockedFile.try_lock
    sweeper: list[int] = []

    def while_a_sweeper_has_it(self: LockedFile) -> bool:
        if not sweeper:
            sweeper.append(os.open(self.path, os.O_RDWR))
            fcntl.flock(sweeper[0], fcntl.LOCK_EX)
        return try_lock(self)

    monkeypatch.setattr(LockedFile, "try_lock", while_a_sweeper_has_it)
    entry = open_entry(journal)
    os.close(sweeper[0])
    assert len(names(journal, ".lease")) == 1
    entry.close()


def test_a_place_where_every_new_file_is_swept_at_once_is_an_error(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LockedFile, "try_lock", lambda self: False)
    with pytest.raises(ConfigurationError, match="loses its files"):
        open_entry(journal)


# Disks that are full, places that can't be used


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
    assert "nobody gives back AppID a1" in caplog.text
    entry.close()
    assert names(journal) == []


def test_missing_directories_are_made_for_this_user_alone(tmp_path: Path) -> None:
    Journal(tmp_path / "a" / "b")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_directory_that_exists_keeps_its_mode(directory: Path) -> None:
    directory.mkdir(mode=0o750)
    journal = Journal(str(directory))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750
    assert names(journal) == []


def test_a_symbolic_link_is_refused(directory: Path, tmp_path: Path) -> None:
    directory.symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match=f"{directory}.*symbolic link"):
        Journal(directory)


def test_a_directory_that_everybody_may_write_to_is_refused(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o1777)
    with pytest.raises(ConfigurationError, match=f"{directory}.*everybody"):
        Journal(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(directory: Path) -> None:
    directory.mkdir()
    os.chown(directory, 12345, 12345)
    with pytest.raises(ConfigurationError, match=f"{directory}.*user 12345"):
        Journal(directory)


def test_a_file_in_the_place_of_the_directory_is_refused(directory: Path) -> None:
    directory.write_text("")
    with pytest.raises(ConfigurationError, match=f"{directory}.*is no directory"):
        Journal(directory)
    with pytest.raises(ConfigurationError, match="can't be made"):
        Journal(directory / "below")


def test_a_file_system_without_room_or_locks_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir()
    with files_no_longer_than(10):
        with pytest.raises(ConfigurationError, match="can't be used: File too large"):
            Journal(directory)

    def no_locks(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(ConfigurationError, match="can't be used: Operation not supported"):
        Journal(directory)
    assert os.listdir(directory) == []


def test_a_system_without_flock_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "has_flock", False)
    with pytest.raises(ConfigurationError, match="POSIX"):
        Journal(directory)


@pytest.mark.parametrize("name", ["", "~no-such-user-here/journal"])
def test_a_name_that_means_no_place_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="journal's directory"):
        Journal(name)


def test_a_relative_directory_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal("journal")
    monkeypatch.chdir("/")
    abandon(journal)
    assert len(names(Journal(tmp_path / "journal"))) == 1


def test_a_tilde_is_the_home_directory() -> None:
    assert Journal("~/journal").directory == Path(os.environ["HOME"], "journal")


def test_the_default_is_in_the_user_s_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_directory() == Path("/state/appid-manager/journal")
    home = os.environ["HOME"]
    for useless in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", useless)
        assert default_directory() == Path(home, ".local/state/appid-manager/journal")


def test_without_a_home_the_default_asks_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(ConfigurationError, match="XDG_STATE_HOME"):
        default_directory()


def test_a_journal_and_its_entries_say_where_they_are(journal: Journal) -> None:
    entry = open_entry(journal)
    assert repr(journal) == f"Journal({str(journal.directory)!r})"
    assert repr(entry) == f"JournalEntry({str(only_file(journal))!r})"
    entry.leave()
    for abandoned in journal.abandoned():
        assert "request-1" in repr(abandoned)

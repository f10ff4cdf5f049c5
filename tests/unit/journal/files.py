"""Entries of holders that live or died, and what is on disk: shared by the tests of the journal."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appid_manager_client.journal.journal import Journal, JournalEntry
from appid_manager_client.journal.lockedfile import LockedFile
from appid_manager_client.journal.record import JournalRecord

SERVICE = "http://127.0.0.1:5000"
OTHER_SERVICE = "http://127.0.0.1:5001"
GRANT: dict[str, Any] = {"appid": "a1", "vid": "v1", "start_time": 1_700_000_000_000}


def open_entry(
    journal: Journal, request_id: str = "request-1", service: str = SERVICE
) -> JournalEntry:
    return journal.open(
        service=service, product_name="stt", request_id=request_id, holder="host:7:task"
    )


def orphan(journal: Journal, request_id: str = "request-1", service: str = SERVICE) -> None:
    """Leave an entry as a killed holder does."""
    open_entry(journal, request_id, service).leave()


def records(journal: Journal, service: str | None = None) -> list[JournalRecord]:
    return [entry.record for entry in journal.orphaned(service)]


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


def before_each_lock(monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], object]) -> None:
    """Have `act` called just before each try to lock a file, with its path."""
    try_lock = LockedFile.try_lock

    def lock_after_that(self: LockedFile) -> bool:
        act(Path(self.path))
        return try_lock(self)

    monkeypatch.setattr(LockedFile, "try_lock", lock_after_that)


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """A full disk: writes beyond so many bytes of a file fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

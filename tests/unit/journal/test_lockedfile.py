"""A locked file's end: once, whatever others do to its name or its descriptor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appid_manager_client.journal.lockedfile import LockedFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.fixture
def file(path: Path) -> LockedFile:
    return LockedFile(str(path), os.O_RDWR | os.O_CREAT | os.O_EXCL)


def test_only_one_of_two_gets_the_lock(path: Path, file: LockedFile) -> None:
    other = LockedFile(str(path), os.O_RDWR)
    assert (file.try_lock(), other.try_lock()) == (True, False)
    file.close()
    assert other.try_lock()
    other.close()


def test_after_its_end_it_does_nothing_to_who_has_its_descriptor_now(
    path: Path, file: LockedFile
) -> None:
    file.close(remove=True)
    with open(path, "wb") as other:
        file.write(b"late", 0)
        file.close(remove=True)
        other.write(b"untouched")
    assert path.read_bytes() == b"untouched"


def test_a_descriptor_that_other_code_closed_is_a_warning(
    file: LockedFile, caplog: pytest.LogCaptureFixture
) -> None:
    (descriptor,) = (
        int(name)
        for name in os.listdir("/proc/self/fd")
        if os.path.realpath(f"/proc/self/fd/{name}") == file.path
    )
    os.close(descriptor)
    file.close()
    assert "other code has closed the descriptor" in caplog.text


def test_a_name_that_cannot_be_removed_is_a_warning(
    path: Path, file: LockedFile, caplog: pytest.LogCaptureFixture
) -> None:
    path.unlink()
    path.mkdir()
    file.close(remove=True)
    assert f"the file {path} can't be removed" in caplog.text

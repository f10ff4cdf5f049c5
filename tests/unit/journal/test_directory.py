"""Where a journal can be kept, where not, and where it is by default."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from appid_manager_client.errors import ConfigurationError
from appid_manager_client.journal import journal as journal_module
from appid_manager_client.journal.journal import Journal, default_directory

from .files import files_no_longer_than, names, orphan


def test_missing_directories_are_made_for_this_user_alone(tmp_path: Path) -> None:
    Journal(tmp_path / "a" / "b")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_directory_that_exists_keeps_its_mode(directory: Path) -> None:
    directory.mkdir(mode=0o750)
    journal = Journal(str(directory))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750
    assert names(journal) == []


def _of_everybody(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o1777)


def _of_another_user(directory: Path) -> None:
    directory.mkdir()
    os.chown(directory, 12345, 12345)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda directory: directory.symlink_to(directory.parent), "is a symbolic link"),
        (lambda directory: directory.write_text(""), "is not a directory"),
        (_of_everybody, "can be written by everybody"),
        pytest.param(
            _of_another_user,
            "belongs to user 12345",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away"),
        ),
    ],
    ids=["a symbolic link", "a file", "everybody's", "another user's"],
)
def test_a_directory_that_is_not_the_users_own_is_refused(
    directory: Path, make: Callable[[Path], object], message: str
) -> None:
    make(directory)
    with pytest.raises(ConfigurationError, match=message) as caught:
        Journal(directory)
    assert str(caught.value).startswith(f"journal directory '{directory}' ")
    assert caught.value.setting == "journal"


def test_a_directory_below_a_file_cannot_be_made(directory: Path) -> None:
    directory.write_text("")
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
    with pytest.raises(
        ConfigurationError, match="^journal (must name a directory|directory .* can't be found)"
    ):
        Journal(name)


def test_a_relative_directory_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal("journal")
    monkeypatch.chdir("/")
    orphan(journal)
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

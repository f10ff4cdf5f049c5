"""How an SQLite file is opened at the start: what is refused, and who may read it afterwards."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from appid_manager_client.errors import ConfigurationError
from appid_manager_client.server.hours import ShortHours
from appid_manager_client.server.operations import Acquire, Init
from appid_manager_client.server.store.store import Store


def open_store(path: Path) -> Store:
    return Store(f"sqlite:///{path}", ShortHours(1000), lambda: 1_000_000)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_text(path: Path) -> None:
    path.write_text("what an encrypted database looks like, too\n" * 200)


def of_another_program(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        database.execute("CREATE TABLE songs (title TEXT)")


def cut_short(path: Path) -> None:
    fill(path)
    os.truncate(path, 8192)


def overwritten(path: Path) -> None:
    fill(path)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\x55" * (path.stat().st_size - 4096))


def fill(path: Path) -> None:
    with contextlib.closing(open_store(path)) as store:
        store.execute([Init("p", {f"a{n}": n for n in range(100)}), Acquire("p", ttl_ms=1000)])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (a_directory, "is a directory"),
        (a_fifo, "is no regular file"),
        (a_text, "is no SQLite database, or it is encrypted"),
        (of_another_program, "belongs to another program"),
        (cut_short, "is damaged; bring back a backup"),
        (overwritten, "is damaged; bring back a backup"),
    ],
)
def test_what_is_no_database_of_the_service_is_refused_and_left_as_it_was(
    tmp_path: Path, make: Callable[[Path], None], says: str
) -> None:
    path = tmp_path / "appids.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ConfigurationError, match=says) as caught:
        open_store(path)
    assert caught.value.setting == "database"
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["appids.db"]
    assert before is None or path.read_bytes() == before


_OPEN = """
import os
import sys
from pathlib import Path
from tests.service.store.test_opening import open_store
if os.getuid() == 0:  # for whom every file can be written
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
open_store(Path(sys.argv[1]))
"""


def test_a_file_that_may_not_be_written_is_refused() -> None:
    # pytest's own directories are closed to other users.
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        path = Path(directory, "appids.db")
        fill(path)
        path.chmod(0o444)
        before = path.read_bytes()
        run = [sys.executable, "-c", _OPEN, str(path)]
        done = subprocess.run(run, text=True, capture_output=True, timeout=60)
        assert "can't be opened: the file must be readable and writable" in done.stderr
        assert path.read_bytes() == before


def modes(path: Path) -> set[int]:
    files = [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
    return {stat.S_IMODE(file.stat().st_mode) for file in files}


def test_what_is_made_can_only_be_read_by_its_user(tmp_path: Path) -> None:
    with contextlib.closing(open_store(tmp_path / "appids.db")):
        assert modes(tmp_path / "appids.db") == {0o600}


@pytest.mark.parametrize(("mode", "kept"), [(0o644, 0o600), (0o666, 0o600), (0o640, 0o640)])
def test_a_file_that_others_could_read_is_tightened_and_that_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, kept: int
) -> None:
    path = tmp_path / "appids.db"
    fill(path)
    path.chmod(mode)
    with contextlib.closing(open_store(path)):
        assert modes(path) == {kept}
    assert ("others could read" in caplog.text) == (mode != kept)


def test_a_file_that_a_link_names_is_made_private_too(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "target.db")
    with contextlib.closing(open_store(link)):
        assert modes(tmp_path / "target.db") == {0o600}

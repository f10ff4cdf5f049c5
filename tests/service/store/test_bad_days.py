"""The store on SQLite when the ground goes: files that are gone, locks, full disks, damage."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from appid_manager_client.server.hours import ShortHours
from appid_manager_client.server.operations import (
    Acquire,
    Granted,
    Init,
    Look,
    Operation,
    Outcome,
    Sweep,
    Swept,
    Unavailable,
)
from appid_manager_client.server.records import HistoryQuery, StatusQuery
from appid_manager_client.server.store import sqlite
from appid_manager_client.server.store.store import Store

from .world import listening


class World:
    """A store with a turned clock, whose product `p` has a hundred AppIDs."""

    def __init__(self, path: Path) -> None:
        self.now = 1_000_000
        self.path = path
        self.store = self.open()
        self.do(Init("p", {f"a{n}": n for n in range(100)}))

    def open(self) -> Store:
        return Store(f"sqlite:///{self.path}", ShortHours(1000), lambda: self.now)

    def do(self, operation: Operation) -> Outcome | Exception:
        return self.store.execute([operation])[0]

    def why_not(self, *operations: Operation) -> Unavailable:
        """The one reason why these, the look, and both queries fail."""
        found = self.store.execute(operations or [Acquire("p")])
        for ask in (
            lambda: self.store.status(StatusQuery("p")),
            lambda: self.store.history(HistoryQuery()).leases,
            self.store.check,
        ):
            with pytest.raises(Unavailable) as caught:
                ask()
            found.append(caught.value)
        assert len({getattr(fault, "reason", fault) for fault in found}) == 1
        assert isinstance(found[0], Unavailable)
        return found[0]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    directory = tmp_path / "data"
    directory.mkdir()
    made = World(directory / "appids.db")
    yield made
    made.store.close()


def side(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}-{name}")


# --- the files go


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for file in (path, side(path, "wal"), side(path, "shm")):
        file.unlink()


def replace_by_a_copy(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def delete_the_log(path: Path) -> None:
    side(path, "wal").unlink()


def delete_the_index_of_the_log(path: Path) -> None:
    side(path, "shm").unlink()


def move_the_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def put_a_file_in_place_of_the_directory(path: Path) -> None:
    move_the_directory(path)
    path.parent.write_text("")


def put_a_link_to_itself_in_its_place(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def files_below(path: Path) -> list[str]:
    return sorted(str(file) for file in path.rglob("*"))


RUINS = [
    delete,
    delete_all,
    replace_by_a_copy,
    delete_the_log,
    delete_the_index_of_the_log,
    move_the_directory,
    put_a_file_in_place_of_the_directory,
    put_a_link_to_itself_in_its_place,
]


@pytest.mark.parametrize("ruin", RUINS)
def test_a_file_that_is_gone_is_noticed_at_once_and_nothing_is_made_in_its_place(
    world: World, tmp_path: Path, ruin: Callable[[Path], None]
) -> None:
    assert isinstance(world.do(Acquire("p")), Granted)
    ruin(world.path)
    before = files_below(tmp_path)
    fault = world.why_not(Acquire("p"), Sweep())
    assert (fault.reason, fault.retry_after) == ("replaced", 30)
    world.store.close()
    assert set(files_below(tmp_path)) <= set(before)


@pytest.mark.parametrize("ruin", [delete, replace_by_a_copy])
def test_a_link_is_followed_to_the_file_that_it_names(
    tmp_path: Path, ruin: Callable[[Path], None]
) -> None:
    target, link = tmp_path / "target.db", tmp_path / "link.db"
    link.symlink_to(target)
    world = World(link)
    assert isinstance(world.do(Acquire("p")), Granted)
    ruin(target)
    assert world.why_not().reason == "replaced"
    world.store.close()


def test_a_link_that_names_another_file_is_noticed(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "one.db")
    world = World(link)
    link.unlink()
    link.symlink_to(tmp_path / "two.db")
    assert world.why_not().reason == "replaced"
    world.store.close()
    assert not (tmp_path / "two.db").exists()


def test_what_was_written_to_a_file_that_went_meanwhile_is_not_acknowledged(world: World) -> None:
    with listening(world.store, "commit", lambda _: world.path.unlink(missing_ok=True)):
        fault = world.do(Acquire("p"))
    assert isinstance(fault, Unavailable) and fault.reason == "replaced"


def test_a_file_that_comes_back_is_not_trusted_before_a_new_start(world: World) -> None:
    away = world.path.with_name("away")
    world.path.rename(away)
    assert world.why_not().reason == "replaced"
    away.rename(world.path)
    assert world.why_not().reason == "replaced"
    world.store.close()
    world.store = world.open()
    assert world.store.history(HistoryQuery()).leases == [], "nothing was done to it"
    assert isinstance(world.do(Acquire("p")), Granted)


@pytest.mark.parametrize("ruin", [delete_the_log, delete_the_index_of_the_log])
def test_what_was_in_a_log_that_was_deleted_is_saved_by_a_stop(
    world: World, ruin: Callable[[Path], None]
) -> None:
    grant = world.do(Acquire("p"))
    assert isinstance(grant, Granted)
    ruin(world.path)
    assert world.why_not().reason == "replaced"
    world.store.close()
    world.store = world.open()
    (lease,) = world.store.history(HistoryQuery()).leases
    assert lease.lease_id == grant.lease_id


def test_a_backup_that_is_restored_in_place_is_followed(world: World, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
        with contextlib.closing(sqlite3.connect(world.path)) as live:
            live.backup(backup)
        world.do(Acquire("p"))
        with contextlib.closing(sqlite3.connect(world.path)) as live:
            backup.backup(live)
    assert world.store.history(HistoryQuery()).leases == []
    assert isinstance(world.do(Acquire("p")), Granted)


_CLOSE_THE_DIRECTORY = """
import os
import sys
from pathlib import Path
from appid_manager_client.server.operations import Acquire, Granted, Unavailable
from tests.service.store.test_bad_days import World
world = World(Path(sys.argv[1]) / "opened-before.db")  # imports everything
world.store.close()
if os.getuid() == 0:  # whom no directory keeps out
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
directory = Path(sys.argv[1]) / "data"
directory.mkdir()
world = World(directory / "appids.db")
directory.chmod(0)
fault = world.why_not()
directory.chmod(0o700)
assert isinstance(world.do(Acquire("p")), Granted)
world.store.close()
print(fault.reason, fault.message)
"""


def test_a_directory_that_is_closed_for_a_while_is_waited_for() -> None:
    # pytest's own directories are closed to other users.
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o777)
        run = [sys.executable, "-c", _CLOSE_THE_DIRECTORY, parent]
        done = subprocess.run(run, text=True, capture_output=True, timeout=60)
    assert done.stdout == "away the database can't be reached: permission denied\n", done.stderr


# --- locked, full, broken


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOCK_PATIENCE", 0.01)


@pytest.mark.usefixtures("impatient")
def test_a_lock_of_another_process_fails_what_is_written_until_it_is_gone(tmp_path: Path) -> None:
    world = World(tmp_path / "appids.db")
    with locked(world.path):
        outcomes = world.store.execute([Acquire("p") for _ in range(100)])
        assert len({id(outcome) for outcome in outcomes}) == 1, "it was waited for once"
        assert isinstance(outcomes[0], Unavailable) and outcomes[0].reason == "locked"
        with pytest.raises(Unavailable, match="locked"):
            world.store.check()
        assert world.store.status(StatusQuery("p")).available == 100, "reading needs no lock"
    assert isinstance(world.do(Acquire("p")), Granted)
    world.store.check()
    world.store.close()


@pytest.mark.usefixtures("impatient")
def test_a_lease_has_its_whole_ttl_after_a_time_without_heartbeats(tmp_path: Path) -> None:
    world = World(tmp_path / "appids.db")
    assert isinstance(world.do(Acquire("p", ttl_ms=5_000)), Granted)
    with locked(world.path):
        world.now += 60_000
        assert isinstance(world.do(Sweep()), Unavailable)
    back = world.now
    for passed, ended in ((0, None), (4_999, None), (5_000, "expired")):
        world.now = back + passed
        assert isinstance(world.do(Sweep()), Swept)
        assert world.store.history(HistoryQuery()).leases[0].ended == ended
    world.store.close()


@contextlib.contextmanager
def limit(kind: int, value: int) -> Iterator[None]:
    """Have this process meet a limit of the system."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def no_file_may_grow(world: World) -> contextlib.AbstractContextManager[None]:
    return limit(resource.RLIMIT_FSIZE, side(world.path, "wal").stat().st_size)


@contextlib.contextmanager
def no_page_is_left(world: World) -> Iterator[None]:
    """As on a full disk: SQLite says `SQLITE_FULL`."""

    def set_limit(connection: Connection, pages: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    # SQLite takes the pages that there are.
    with listening(world.store, "begin", lambda connection: set_limit(connection, 1)):
        yield
    with listening(world.store, "begin", lambda connection: set_limit(connection, 2**31)):
        world.do(Look())


MANY = [Init("q", {f"b{n}": "x" * 500 for n in range(200)})]


@pytest.mark.parametrize("fill", [no_file_may_grow, no_page_is_left])
def test_a_full_disk_takes_nothing_until_there_is_room(
    world: World, fill: Callable[[World], contextlib.AbstractContextManager[None]]
) -> None:
    with fill(world):
        (fault,) = world.store.execute(MANY)
        assert isinstance(fault, Unavailable) and (fault.reason, fault.retry_after) == ("full", 5)
        assert world.store.status(StatusQuery("q")).total == 0
    assert not isinstance(world.store.execute(MANY)[0], Exception)
    assert world.store.status(StatusQuery("q")).total == 200


def test_a_look_notices_a_full_disk_though_nothing_else_is_written(world: World) -> None:
    with no_file_may_grow(world):
        with pytest.raises(Unavailable, match="no room"):
            world.store.check()
    world.store.check()


def test_too_many_open_files_fail_what_needs_one_and_no_more(world: World) -> None:
    with contextlib.ExitStack() as files:
        used = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 256
        with limit(resource.RLIMIT_NOFILE, used + 20):
            with contextlib.suppress(OSError):
                while True:
                    files.enter_context(open(os.devnull, "rb"))
            with pytest.raises(Unavailable, match="too many files") as caught:
                world.store.status(StatusQuery("p"))
            assert caught.value.reason == "away"
            assert isinstance(world.do(Acquire("p")), Granted)
    assert world.store.status(StatusQuery("p")).total == 100


def test_a_damaged_database_is_told_apart(world: World) -> None:
    world.store.close()
    world.store = world.open()
    size = world.path.stat().st_size
    with open(world.path, "r+b") as file:
        file.seek(4096)
        file.write(b"\x55" * (size - 4096))
    with pytest.raises(Unavailable, match="damaged") as caught:
        world.store.status(StatusQuery("p"))
    assert (caught.value.reason, caught.value.retry_after) == ("away", 30)


def test_no_memory_left_is_a_reason_to_ask_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(_connection: object) -> None:
        raise MemoryError

    with listening(world.store, "commit", no_memory):
        fault = world.do(Look())
    assert isinstance(fault, Unavailable) and fault.reason == "away"
    assert isinstance(world.do(Acquire("p")), Granted)

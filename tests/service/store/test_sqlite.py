"""What only SQLite has: its settings, and its one lock."""

import contextlib
import sqlite3
import threading

import pytest

from appid_manager_client.server.operations import Acquire, Granted, Init, Release
from appid_manager_client.server.store import pruning, sqlite
from appid_manager_client.server.store.sqlite import open_engines
from appid_manager_client.server.store.sqlite_files import DatabaseFiles

from .world import HOUR_MS, World, listening


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "appids.db")


@pytest.fixture
def world(path):
    made = World(f"sqlite:///{path}")
    yield made
    made.store.close()


def test_what_is_acknowledged_survives_a_power_cut(path):
    """Both settings belong to it: the log is written ahead, and synced at every commit."""
    for engine in open_engines(f"sqlite:///{path}", DatabaseFiles(path)):
        with engine.connect() as connection:
            read = connection.exec_driver_sql
            assert read("PRAGMA journal_mode").scalar() == "wal"
            assert read("PRAGMA synchronous").scalar() == 2, "FULL"
        engine.dispose()


def test_a_grant_that_waited_for_the_lock_belongs_to_the_hour_in_which_it_is_made(world, path):
    world.do(Init("p", {"a": 1}))
    world.do(Acquire("p"))
    world.do(Release("p", "a"))
    outcomes = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = threading.Event()
        thread = threading.Thread(target=lambda: outcomes.append(world.do(Acquire("p"))))
        with listening(world.store, "begin", lambda _: waiting.set()):
            thread.start()
            assert waiting.wait(10)
        world.now += HOUR_MS  # used in the hour before, free in this one
        other.execute("COMMIT")
    thread.join(30)
    (grant,) = outcomes
    assert isinstance(grant, Granted)
    assert grant.start == world.now


def test_a_database_that_stays_locked_fails_the_whole_batch_at_once(world, path, monkeypatch):
    monkeypatch.setattr(sqlite, "LOCK_PATIENCE", 0.01)
    world.do(Init("p", {"a": 1}))
    world.store.close()
    world.store = world.open()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        outcomes = world.do(*[Acquire("p") for _ in range(100)])
    assert len({id(outcome) for outcome in outcomes}) == 1
    assert outcomes[0].reason == "locked"
    assert isinstance(world.do(Acquire("p")), Granted)


def test_a_slice_of_old_request_ids_is_found_without_the_history(world, path):
    """The whole history would be read for each slice, while the writer waits."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN {pruning.FORGET_ON_SQLITE}", {"before": 0}
        ).fetchall()
    assert any("ix_leases_remembered (stop" in step for *_, step in plan), plan

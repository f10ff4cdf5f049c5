"""Each pair of operations at once, on two connections: the second one meets the first one's locks.

The first one has done everything but its commit when the second one begins. Whatever the second one
waits for, the outcomes and the state are those of one after the other, in one order or the other.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from appid_manager_client.server.operations import (
    Abandon,
    Acquire,
    Heartbeat,
    Init,
    Pause,
    Operation,
    Release,
    Reserve,
    Sweep,
)
from appid_manager_client.server.records import HistoryQuery, StatusQuery
from appid_manager_client.server.store import postgres as engine
from appid_manager_client.server.store.postgres_connect import commit
from tests.support.postgres import PostgresServer
from tests.support.waiting import PATIENCE, wait_until

from .world import HOUR_MS, World

KNOWN, NEW = "1" * 32, "2" * 32


class Scene:
    """A product in every state that an AppID can have.

    `held` is in use, `late` was in use until its lease ran out a moment ago, `used` was used in
    this hour, `free` and `next` are free, `out` is reserved. Every batch ends `late`'s lease first,
    and waits for another one that does so: that is left to the pairs that are about it.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.other = world.open()  # a second service, with a connection of its own

    def close(self) -> None:
        self.other.close()
        self.world.store.close()

    def set(self, *names_of_operations: str) -> None:
        """The same at the beginning of each test of these operations."""
        world = self.world
        world.run("DELETE FROM leases")
        world.run("DELETE FROM appids")
        world.run("DELETE FROM pauses")
        world.run("UPDATE meta SET value = '0' WHERE key = 'fence_floor'")
        world.now = 10 * HOUR_MS
        names = ["held", "late", "used", "free", "next", "out"]
        world.do(Init("p", {name: 1 for name in names}))
        # Its own init: after those of others it goes on behind its last grant, for a second.
        self.other.execute([Init("q", {"other": 1})])
        self.lease = world.do(Acquire("p", request_id=KNOWN, ttl_ms=60_000)).lease_id
        world.do(Acquire("p", ttl_ms=1_000))
        world.do(Acquire("p"))
        world.do(Release("p", "used"), Reserve("p", "out", True))
        world.now += 2_000
        if ABOUT_EXPIRY.isdisjoint(names_of_operations):
            world.do(Sweep())


ABOUT_EXPIRY = {"release what has expired", "sweep"}
OPERATIONS: dict[str, Callable[[Scene], Operation]] = {
    "acquire": lambda scene: Acquire("p"),
    "acquire for a new request": lambda scene: Acquire("p", request_id=NEW),
    "acquire again": lambda scene: Acquire("p", request_id=KNOWN),
    "acquire by force": lambda scene: Acquire("p", force=True),
    "release": lambda scene: Release("p", "held"),
    "release the lease": lambda scene: Release("p", "held", scene.lease),
    "release what has expired": lambda scene: Release("p", "late"),
    "give up the request": lambda scene: Abandon("p", KNOWN),
    "give up a new request": lambda scene: Abandon("p", NEW),
    "heartbeat": lambda scene: Heartbeat([scene.lease], scene.world.now),
    "init": lambda scene: Init("p", {"free": 2, "held": 2, "fresh": 2}),
    "init that keeps state": lambda scene: Init("p", {"late": 1, "next": 1, "fresh": 1}, True),
    "init of another product": lambda scene: Init("q", {"other": 1, "fresh": 1}),
    "reserve what is in use": lambda scene: Reserve("p", "held", True),
    "reserve what is free": lambda scene: Reserve("p", "free", True),
    "take back": lambda scene: Reserve("p", "out", False),
    "pause": lambda scene: Pause("p", True),
    "sweep": lambda scene: Sweep(prune=True),
}


def digest(world: World, *outcomes: object) -> Any:
    """Outcomes and state, without the ids that chance gives."""
    ids = {
        lease.lease_id: f"lease of {lease.appid}"
        for lease in world.store.history(HistoryQuery()).leases
    }

    def named(value: object) -> object:
        if isinstance(value, dict):
            return {named(key): each for key, each in value.items()}
        if isinstance(value, list):
            return [named(each) for each in value]
        return ids.get(value, value) if isinstance(value, str) else value

    def told(outcome: object) -> Any:
        assert not isinstance(outcome, Exception), outcome
        assert dataclasses.is_dataclass(outcome)
        pairs = [(f.name, named(getattr(outcome, f.name))) for f in dataclasses.fields(outcome)]
        return type(outcome).__name__, pairs

    entries = world.store.status(StatusQuery()).appids or []
    leases = world.store.history(HistoryQuery()).leases
    return (
        [told(outcome) for outcome in outcomes],
        sorted(repr(dataclasses.replace(entry, lease_id=None)) for entry in entries),
        sorted(repr(dataclasses.replace(lease, lease_id="")) for lease in leases),
    )


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    scene = Scene(World(f"sqlite:///{Path(tmp_path_factory.mktemp('pairs'), 'appids.db')}"))
    yield scene
    scene.close()


@pytest.fixture(scope="module")
def on_postgres(postgres: PostgresServer) -> Iterator[Scene]:
    with postgres.database() as url:
        scene = Scene(World(url))
        yield scene
        scene.close()


@pytest.fixture(scope="module")
def watcher(postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with postgres.superuser() as connection:
        yield connection


def one_after_the_other(scene: Scene, first: str, second: str) -> Any:
    scene.set(first, second)
    outcomes = [scene.world.do(OPERATIONS[name](scene)) for name in (first, second)]
    return digest(scene.world, *outcomes)


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.product(OPERATIONS, OPERATIONS)),
    ids=lambda name: name.replace(" ", "-"),
)
def test_two_at_once_are_as_good_as_one_after_the_other(
    first: str,
    second: str,
    on_sqlite: Scene,
    on_postgres: Scene,
    watcher: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = on_postgres
    scene.set(first, second)
    begins, ends = OPERATIONS[first](scene), OPERATIONS[second](scene)
    reached, go = threading.Event(), threading.Event()
    committer: list[threading.Thread] = []

    def commit_later(connection: Connection) -> str | None:
        if threading.current_thread() in committer and not reached.is_set():
            reached.set()
            assert go.wait(PATIENCE)
        return commit(connection)

    def begin() -> Any:
        committer.append(threading.current_thread())
        return scene.world.do(begins)

    monkeypatch.setattr(engine, "commit", commit_later)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(begin)
        assert reached.wait(PATIENCE)
        two = threads.submit(scene.other.execute, [ends])
        wait_until(lambda: two.done() or _somebody_waits(watcher), what="the second one waits")
        go.set()
        outcomes = one.result(PATIENCE), two.result(PATIENCE)[0]
    found = digest(scene.world, *outcomes)
    in_order = one_after_the_other(on_sqlite, first, second)
    if found != in_order:
        outcomes_of_the_other_way, *state = one_after_the_other(on_sqlite, second, first)
        assert found == (outcomes_of_the_other_way[::-1], *state)


def _somebody_waits(watcher: psycopg.Connection[Any]) -> bool:
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    row = watcher.execute(waits).fetchone()
    return row is not None and row[0] > 0

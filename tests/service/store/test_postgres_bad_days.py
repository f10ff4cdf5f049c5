"""Bad days of a PostgreSQL database: what callers hear, and that all goes on by itself then."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from appid_manager_client.server.operations import (
    Acquire,
    Granted,
    Init,
    Initialized,
    Release,
    Released,
    Unavailable,
)
from appid_manager_client.server.records import HistoryQuery, StatusQuery
from tests.support.postgres import (
    PASSWORD,
    USER,
    PostgresServer,
    give_to_the_server,
    running_postgres,
)
from tests.support.waiting import wait_until

from .world import World

END = f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '{USER}'"


@pytest.fixture
def world(postgres_url: str) -> Iterator[World]:
    made = World(postgres_url)
    made.do(Init("p", {f"a{number}": number for number in range(9)}))
    yield made
    made.store.close()


def refused(world: World, reason: str) -> str:
    """What callers hear now, of a write."""
    outcome = world.do(Acquire("p"))
    assert isinstance(outcome, Unavailable), outcome
    assert outcome.reason == reason and outcome.retry_after >= 1
    assert PASSWORD not in outcome.message and "\n" not in outcome.message
    return outcome.message


def works(world: World) -> bool:
    return isinstance(world.do(Acquire("p")), Granted)


def test_rows_that_somebody_keeps_locked(world: World, postgres_url: str) -> None:
    held = world.do(Acquire("p"))
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT * FROM appids FOR UPDATE")
        outcome = world.do(Release("p", held.appid))
        assert isinstance(outcome, Unavailable) and outcome.reason == "locked"
        assert world.store.status(StatusQuery()).total == 9, "who reads waits for no row"
    assert isinstance(world.do(Release("p", held.appid)), Released)


def test_a_table_that_somebody_keeps_locked(world: World, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE leases")
        refused(world, "locked")
    assert works(world)


def test_a_limit_of_connections_that_is_reached(world: World, postgres: PostgresServer) -> None:
    with postgres.superuser() as connection:
        connection.execute(f"ALTER ROLE {USER} CONNECTION LIMIT 0")
        try:
            assert works(world), "the connection that is open is of use still"
            connection.execute(END)
            assert "too many connections" in refused(world, "away")
            with pytest.raises(Unavailable):
                world.store.status(StatusQuery())
        finally:
            connection.execute(f"ALTER ROLE {USER} CONNECTION LIMIT -1")
    assert works(world) and world.store.status(StatusQuery()).total == 9


def test_a_password_that_was_changed(world: World, postgres: PostgresServer) -> None:
    with postgres.superuser() as connection:
        connection.execute(f"ALTER ROLE {USER} PASSWORD 'another one'")
        try:
            connection.execute(END)
            assert "password authentication failed" in refused(world, "away")
        finally:
            connection.execute(f"ALTER ROLE {USER} PASSWORD '{PASSWORD}'")
    assert works(world)


def test_a_backend_that_is_ended_in_the_middle_of_a_batch(
    world: World, postgres: PostgresServer, postgres_url: str
) -> None:
    """Nothing of the batch was done: it is done again, and its caller notices nothing."""
    held = world.do(Acquire("p"))
    outcomes: list[object] = []
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with psycopg.connect(postgres_url) as other, postgres.superuser() as watcher:
        other.execute("SELECT * FROM appids FOR UPDATE")
        thread = threading.Thread(
            target=lambda: outcomes.append(world.do(Release("p", held.appid)))
        )
        thread.start()
        found = wait_until(lambda: watcher.execute(waiting).fetchone(), what="the batch waits")
        assert found is not None
        other.rollback()
        watcher.execute("SELECT pg_terminate_backend(%s)", list(found))
    thread.join(30)
    assert isinstance(outcomes[0], Released)
    assert [lease.ended for lease in world.store.history(HistoryQuery()).leases] == ["released"]


def test_tables_that_are_gone(world: World, postgres: PostgresServer, postgres_url: str) -> None:
    with postgres.superuser(postgres_url.rpartition("/")[2]) as connection:
        connection.execute("DROP TABLE leases")
    assert "gone" in refused(world, "replaced")


def test_a_database_that_was_dropped(postgres: PostgresServer) -> None:
    with postgres.superuser() as connection:
        connection.execute(f"CREATE DATABASE dropped OWNER {USER} TEMPLATE template0")
        world = World(postgres.url("dropped"))
        connection.execute("DROP DATABASE dropped WITH (FORCE)")
    assert 'database "dropped" does not exist' in refused(world, "away")
    world.store.close()


@pytest.fixture
def server_on_a_small_disk() -> Iterator[tuple[PostgresServer, Path]]:
    """A server of its own, whose checkpoints fail too, and a place with room for few megabytes."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    with running_postgres() as server:
        place = server.sockets / "small"
        place.mkdir()
        options = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)]
        if subprocess.run(options, capture_output=True).returncode != 0:
            pytest.skip("no file system can be mounted here")
        try:
            give_to_the_server(place)
            yield server, place
            server.stop(signal.SIGQUIT)
        finally:
            subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full(server_on_a_small_disk: tuple[PostgresServer, Path]) -> None:
    server, place = server_on_a_small_disk
    with server.superuser() as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        connection.execute(
            f"CREATE DATABASE full_one OWNER {USER} TEMPLATE template0 TABLESPACE small"
        )
    world = World(server.url("full_one"))
    world.do(Init("p", {"a": 1, "b": 2}))
    filler = place / "filler"
    filler.write_bytes(b"x" * (shutil.disk_usage(place).free - 100_000))
    outcome = world.do(Init("q", {f"appid-{number:06d}": number for number in range(20_000)}))
    assert isinstance(outcome, Unavailable) and outcome.reason == "full", outcome
    filler.unlink()
    assert isinstance(world.do(Init("q", {"c": 3})), Initialized)
    assert world.store.status(StatusQuery()).total == 3
    world.store.close()

"""What only PostgreSQL has: settings of a role, locks of rows, lost connections, lost commits."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

import psycopg
import pytest

from appid_manager_client.errors import ConfigurationError
from appid_manager_client.secret import Token
from appid_manager_client.server.hours import ShortHours
from appid_manager_client.server.operations import (
    Acquire,
    Granted,
    Init,
    Release,
    Released,
    Sweep,
    Unavailable,
)
from appid_manager_client.server.records import HistoryQuery, StatusQuery
from appid_manager_client.server.store import schema
from appid_manager_client.server.store.contract import Touched
from appid_manager_client.server.store.engines import open_engine, open_whole
from appid_manager_client.server.store.store import Store
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.secrets import assert_hidden
from tests.support.tcp import Connection, LoopbackServer
from tests.support.waiting import wait_until

from .world import World


@pytest.fixture
def world(postgres_url: str) -> Iterator[World]:
    made = World(postgres_url)
    made.do(Init("p", {"a": 1, "b": 2}))
    yield made
    made.store.close()


def test_a_batch_is_durable_and_bounded_whatever_the_role_s_defaults_are(
    postgres: PostgresServer, postgres_url: str
) -> None:
    database = postgres_url.rpartition("/")[2]
    defaults = {
        "synchronous_commit": "off",
        "default_transaction_isolation": "serializable",
        "default_transaction_read_only": "on",
        "lock_timeout": "0",
        "statement_timeout": "0",
    }
    with postgres.superuser() as connection:
        for name, value in defaults.items():
            connection.execute(f"ALTER DATABASE {database} SET {name} = '{value}'")
    try:
        engine = open_engine(postgres_url)
        with engine.writing(Touched()) as begun:
            found = {
                name: begun.connection.exec_driver_sql(f"SHOW {name}").scalar()
                for name in (*defaults, "transaction_isolation", "transaction_read_only")
            }
        engine.close()
    finally:
        with postgres.superuser() as connection:
            connection.execute(f"ALTER DATABASE {database} RESET ALL")
    assert found["synchronous_commit"] == "on"
    assert (found["transaction_isolation"], found["transaction_read_only"]) == (
        "read committed",
        "off",
    )
    assert (found["lock_timeout"], found["statement_timeout"]) == ("1500ms", "3s")


def test_what_waited_for_a_lock_happens_when_it_has_it(
    postgres: PostgresServer, postgres_url: str
) -> None:
    """On the clock of the database, which stands still in a transaction unless it is asked."""
    store = Store(postgres_url, ShortHours(3600))
    store.execute([Init("p", {"a": 1})])
    store.execute([Acquire("p")])
    outcomes: list[object] = []
    with psycopg.connect(postgres_url) as other, postgres.superuser() as watcher:
        other.execute("SELECT * FROM appids FOR UPDATE")
        thread = threading.Thread(
            target=lambda: outcomes.extend(store.execute([Release("p", "a")]))
        )
        thread.start()
        wait_for_a_lock(postgres)
        now = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
        row = watcher.execute(now).fetchone()
    thread.join(30)
    store.close()
    (released,) = outcomes
    assert isinstance(released, Released)
    assert row is not None
    assert released.stop >= row[0]


@pytest.mark.parametrize("definition", ["length:3600", "length:60"])
def test_of_two_first_services_that_start_together_one_settles_the_hours(
    postgres: PostgresServer, postgres_url: str, definition: str
) -> None:
    with open_whole(postgres_url) as connection:
        schema.bring_up_to_date(connection, "x")
    started: list[Store | ConfigurationError] = []

    def start() -> None:
        try:
            started.append(Store(postgres_url, ShortHours(3600)))
        except ConfigurationError as error:
            started.append(error)

    with psycopg.connect(postgres_url) as other:
        other.execute("INSERT INTO meta (key, value) VALUES ('hours', %s)", [definition])
        thread = threading.Thread(target=start)
        thread.start()
        wait_for_a_lock(postgres)
    thread.join(30)
    (found,) = started
    if definition == "length:3600":
        assert isinstance(found, Store)
        found.close()
    else:
        assert isinstance(found, ConfigurationError) and "counts its hours as length:60" in str(
            found
        )


def wait_for_a_lock(postgres: PostgresServer) -> None:
    """Return when a transaction waits for another one's lock."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with postgres.superuser() as watcher:
        wait_until(lambda: watcher.execute(waits).fetchone() == (1,), what="somebody waits")


def test_a_connection_that_was_ended_while_it_was_idle_is_replaced(
    world: World, postgres: PostgresServer
) -> None:
    end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'service'"
    world.store.status(StatusQuery())
    for _ in range(2):
        with postgres.superuser() as connection:
            connection.execute(end)
        assert isinstance(world.do(Acquire("p")), Granted)
        assert world.store.status(StatusQuery()).total == 2


def test_a_server_that_is_away_is_said_so_and_used_again_at_once(
    world: World, postgres: PostgresServer
) -> None:
    grant = world.do(Acquire("p"))
    postgres.stop()
    for outcome in world.do(Acquire("p"), Sweep()):
        assert isinstance(outcome, Unavailable)
        assert outcome.reason == "away"
        assert_hidden(outcome, PASSWORD)
    with pytest.raises(Unavailable) as caught:
        world.store.status(StatusQuery())
    assert_hidden(caught.value, PASSWORD)
    postgres.start()
    other = world.do(Acquire("p"))
    assert (grant.appid, other.appid) == ("a", "b"), "what was acknowledged is still there"


@contextlib.contextmanager
def hung(postgres: PostgresServer) -> Iterator[None]:
    """The server, and all its processes that serve the service, stand still."""
    with postgres.superuser() as connection:
        found = connection.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'service'")
        assert postgres.process is not None
        pids = [postgres.process.pid, *(pid for (pid,) in found)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_server_that_hangs_is_not_waited_for(world: World, postgres: PostgresServer) -> None:
    """It takes connections, by its system, and answers nothing, not even a cancellation."""
    world.store.status(StatusQuery())
    with hung(postgres):
        outcome = world.do(Acquire("p", request_id="5a0f9f5e59d54f0f8a516a4b0a1e7c55"))
        assert isinstance(outcome, Unavailable)
        assert outcome.reason == "away" and "doesn't answer" in outcome.message
        assert isinstance(world.do(Sweep()), Unavailable)
    again = world.do(Acquire("p", request_id="5a0f9f5e59d54f0f8a516a4b0a1e7c55"))
    assert isinstance(again, Granted)
    assert world.store.status(StatusQuery()).available == 1


class CommitLoser(LoopbackServer):
    """Stands before a server. It drops connections at the next `COMMIT`, once.

    Args:
        port: of the server.
        after: whether the server still hears the commit.
    """

    def __init__(self, port: int, *, after: bool) -> None:
        self.server_port = port
        self.after = after
        self.armed = False
        super().__init__(self.forward, name="commit-loser")

    def forward(self, connection: Connection) -> None:
        with contextlib.closing(
            socket.create_connection(("127.0.0.1", self.server_port))
        ) as server:
            back = threading.Thread(target=self.pump, args=(server, connection), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while data := connection.socket.recv(65536):
                    if self.armed and b"COMMIT\0" in data:
                        self.armed = False
                        connection.reset()
                        if self.after:
                            server.sendall(data)
                        break
                    server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join(20)

    @staticmethod
    def pump(server: socket.socket, connection: Connection) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                with contextlib.suppress(OSError):
                    connection.socket.sendall(data)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_done_twice(
    postgres: PostgresServer, postgres_url: str, after: bool
) -> None:
    """The connection breaks before the server heard of the commit, or after it."""
    loser = CommitLoser(postgres.port, after=after).start()
    try:
        world = World(postgres_url.replace(f":{postgres.port}/", f":{loser.port}/"))
        world.do(Init("p", {"a": 1, "b": 2}))
        loser.armed = True
        grant = world.do(Acquire("p"))
        assert not loser.armed
        assert isinstance(grant, Granted)
        (lease,) = world.store.history(HistoryQuery()).leases
        assert lease.lease_id == grant.lease_id
        assert world.store.status(StatusQuery()).available == 1
        world.store.close()
    finally:
        loser.close()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("/test_", "/missing_"), "does not exist"),
        ((f":{PASSWORD}@", ":wrong-secret@"), "password authentication failed"),
        (("127.0.0.1:", "127.0.0.1:x"), "must be a URL such as"),
    ],
)
def test_a_database_that_can_t_be_used_is_one_line_at_the_start(
    postgres_url: str, change: tuple[str, str], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        Store(Token(postgres_url.replace(*change)), ShortHours(3600))  # as settings have it
    assert caught.value.setting == "database"
    assert "\n" not in str(caught.value)
    for secret in (PASSWORD, "wrong-secret"):
        assert_hidden(caught.value, secret)

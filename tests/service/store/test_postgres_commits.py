"""Commits that can't be relied on: no standby has confirmed them, or a crash has lost them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.pool import NullPool

from appid_manager_client.server.operations import (
    Abandon,
    Acquire,
    Granted,
    Init,
    Release,
    Released,
    Sweep,
    Unavailable,
)
from appid_manager_client.server.records import HistoryQuery, StatusQuery
from appid_manager_client.server.store.postgres_commits import Batch, Fate, fate_of
from appid_manager_client.server.store.postgres_connect import Connector, open_from
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.replication import (
    promote,
    require_standby,
    synchronous_standby,
    url_of_either,
)
from tests.support.waiting import wait_until

from .world import World


class Pair:
    """A primary, its synchronous standby, and the URL of a database of theirs."""

    def __init__(self, primary: PostgresServer, standby: PostgresServer, url: str) -> None:
        self.primary = primary
        self.standby = standby
        self.url = url


@pytest.fixture
def pair() -> Iterator[Pair]:
    with running_postgres() as primary, primary.database() as url:
        with synchronous_standby(primary) as standby:
            yield Pair(primary, standby, url_of_either(primary, standby, url))
            primary.stop(signal.SIGQUIT)  # an orderly stop would wait for the standby


def test_what_no_standby_has_confirmed_is_not_acknowledged(pair: Pair) -> None:
    """PostgreSQL answers COMMIT, with a warning, when its wait for the standby is cut off."""
    world = World(pair.url)
    world.do(Init("p", {"a": 1, "b": 2}))
    pair.standby.stop(signal.SIGQUIT)
    request = "5a0f9f5e59d54f0f8a516a4b0a1e7c55"
    for operation in (Acquire("p"), Acquire("p", request_id=request)):
        outcome = world.do(operation)
        assert isinstance(outcome, Unavailable), f"{operation} was acknowledged: {outcome}"
        assert "vouch" in outcome.message and outcome.reason == "away"
    pair.standby.start()
    require_standby(pair.primary)
    again = world.do(Acquire("p", request_id=request))
    assert isinstance(again, Granted)
    world.do(Sweep())
    status = world.store.status(StatusQuery())
    states = {entry.appid: entry.state for entry in status.appids or ()}
    assert states.pop(again.appid) == "in_use"
    assert set(states.values()) != {"in_use"}, "the grant that nobody heard of was not released"
    world.store.close()


def test_a_promoted_standby_has_all_that_was_acknowledged(pair: Pair) -> None:
    world = World(pair.url)
    world.do(Init("p", {f"a{n}": n for n in range(20)}))
    granted = [world.do(Acquire("p")) for _ in range(8)]
    released = world.do(Release("p", granted[0].appid))
    assert isinstance(released, Released)
    pair.primary.stop(signal.SIGQUIT)
    promote(pair.standby)
    more = world.do(Acquire("p"))
    assert isinstance(more, Granted), "the service found the new primary by itself"
    leases = {lease.lease_id: lease for lease in world.store.history(HistoryQuery()).leases}
    assert set(leases) == {grant.lease_id for grant in (*granted, more)}
    assert leases[granted[0].lease_id].stop == released.stop
    assert more.appid not in {grant.appid for grant in granted}
    world.store.close()


def test_a_number_that_is_given_again_after_a_crash_tells_nothing(
    postgres: PostgresServer, postgres_url: str
) -> None:
    """Recovery forgets the numbers of transactions that had written nothing durable."""
    world = World(postgres_url)
    world.do(Init("p", {"a": 1}))
    grant = world.do(Acquire("p"))
    world.store.close()
    connector = Connector(postgres_url)
    engine = connector.make_engine(NullPool)
    with open_from(engine):
        before = connector.server.incarnation
    lost = _lose_a_number(postgres, postgres_url)

    def is_another() -> bool:
        # For a moment after the crash, the server that is about to end answers still.
        with contextlib.suppress(Exception), open_from(engine):
            return connector.server.incarnation != before
        return False

    wait_until(is_another, what="the server has recovered")
    with psycopg.connect(postgres_url, autocommit=True) as other:
        while int(_next_number(other)) < int(lost):
            pass
    with open_from(engine) as connection:
        forgotten = Batch(lost, before)
        assert fate_of(forgotten, connection) is Fate.UNKNOWN
        with_a_grant = Batch(lost, before, [(Release("p", "a", "no such lease"), True)])
        assert fate_of(with_a_grant, connection) is Fate.ABORTED
        with_this_one = Batch(lost, before, [(Release("p", "a", grant.lease_id), True)])
        assert fate_of(with_this_one, connection) is Fate.COMMITTED
    connector.close()


def _lose_a_number(postgres: PostgresServer, url: str) -> str:
    """Have the server crash while a transaction is open. Returns its number."""
    with postgres.superuser() as connection:
        connection.execute("CHECKPOINT")
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("BEGIN")
    number = _next_number(connection)
    os.kill(connection.info.backend_pid, signal.SIGKILL)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    return number


def _next_number(connection: psycopg.Connection[tuple[str]]) -> str:
    row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    return row[0]


def test_a_transaction_that_is_still_under_way_is_asked_after_again(
    postgres_url: str,
) -> None:
    World(postgres_url).store.close()
    connector = Connector(postgres_url)
    engine = connector.make_engine(NullPool)
    with psycopg.connect(postgres_url, autocommit=True) as other, open_from(engine) as connection:
        incarnation = connector.server.incarnation
        other.execute("BEGIN")
        number = _next_number(other)
        assert fate_of(Batch(number, incarnation), connection) is Fate.UNDER_WAY
        other.execute("ROLLBACK")
        assert fate_of(Batch(number, incarnation), connection) is Fate.ABORTED
        other.execute("BEGIN")
        number = _next_number(other)
        other.execute("COMMIT")
        assert fate_of(Batch(number, incarnation), connection) is Fate.COMMITTED
    connector.close()


def test_what_a_batch_saw_is_durable_before_it_is_answered(postgres_url: str) -> None:
    """A refusal tells what others have done. It is no promise while only one disk has that."""
    world = World(postgres_url)
    request = "5a0f9f5e59d54f0f8a516a4b0a1e7c55"
    world.do(Init("p", {"a": 1}), Abandon("p", request))
    with psycopg.connect(postgres_url, autocommit=True) as watcher:

        def written() -> object:
            return watcher.execute("SELECT pg_current_wal_flush_lsn()").fetchone()

        before = written()
        world.do(Abandon("p", request))  # nothing to do
        assert written() != before, "the transaction wrote nothing, and waited for nothing"
    world.store.close()

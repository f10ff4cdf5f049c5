"""A standby of a PostgreSQL server for tests: synchronous, and promoted when a test says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.postgres import USER, PostgresServer, free_port, server_directory
from tests.support.waiting import wait_until


@contextmanager
def synchronous_standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A standby that has every transaction before the primary acknowledges it."""
    with server_directory() as directory, free_port() as port:
        # By default a standby that has lost its primary can take five seconds to be promoted.
        standby = PostgresServer(
            primary.binaries, directory, port, wal_retrieve_retry_interval="100ms"
        )
        standby.run(
            *("pg_basebackup", "--pgdata", str(standby.data), "--checkpoint", "fast"),
            *("--host", str(primary.sockets), "--port", str(primary.port)),
            *("--username", "postgres", "--write-recovery-conf", "--no-sync"),
        )
        with standby:
            standby.start()
            require_standby(primary)
            yield standby


def require_standby(primary: PostgresServer) -> None:
    """Have the primary acknowledge nothing that its standby doesn't have."""
    with primary.superuser() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute("SELECT pg_reload_conf()")
    wait_until(lambda: standby_state(primary) == "sync", what="the standby is synchronous")


def standby_state(primary: PostgresServer) -> str | None:
    """What the primary says of its standby: `sync`, `async`, or `None` while there is none."""
    with primary.superuser() as connection:
        row = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchone()
    return None if row is None else str(row[0])


def promote(standby: PostgresServer) -> None:
    """Make the standby the primary, which no standby is required for. Returns when it writes."""
    with standby.superuser() as connection:
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("SELECT pg_reload_conf()")
        row = connection.execute("SELECT pg_promote(wait => true)").fetchone()
        assert row == (True,), "the standby was not promoted"


def url_of_either(one: PostgresServer, other: PostgresServer, url: str) -> str:
    """The URL of the same database at whichever of two servers takes writes."""
    _, _, database = url.rpartition("/")
    user = url.partition("@")[0]
    assert user.rpartition("/")[2].startswith(USER)
    hosts = f"127.0.0.1:{one.port},127.0.0.1:{other.port}"
    return f"{user}@{hosts}/{database}?target_session_attrs=read-write"

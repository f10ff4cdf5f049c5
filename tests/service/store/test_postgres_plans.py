"""How many rows the statements of a batch read on PostgreSQL, whatever the statistics say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from appid_manager_client.server.hours import ShortHours
from appid_manager_client.server.operations import Acquire, Granted, Init
from appid_manager_client.server.store import postgres_sql as sql
from appid_manager_client.server.store.bounds import FIRST
from appid_manager_client.server.store.contract import Asked, Touched, Wanted
from appid_manager_client.server.store.engines import open_engine
from appid_manager_client.server.store.store import Store
from appid_manager_client.server.store.tables import NEVER

_APPIDS = 20_000
_LIVE = 1_000
_BATCH = 64


@pytest.fixture
def leases(postgres_url: str) -> Iterator[list[str]]:
    """Two products that were just initialized, and the ids of live leases on one of them."""
    with contextlib.closing(Store(postgres_url, ShortHours(3600))) as store:
        # An autovacuum would bring fresh statistics.
        with psycopg.connect(postgres_url) as connection:
            connection.execute("ALTER TABLE appids SET (autovacuum_enabled = off)")
            connection.execute("ALTER TABLE leases SET (autovacuum_enabled = off)")
        store.execute([Init("p", {f"p{n}": n for n in range(_APPIDS)})])
        store.execute([Init("q", {f"q{n}": n for n in range(_APPIDS)})])
        granted = store.execute([Acquire("p", ttl_ms=60_000) for _ in range(_LIVE)])
        yield [one.lease_id for one in granted if isinstance(one, Granted)]


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_batch_reads_about_as_many_rows_as_it_grants(
    postgres_url: str, leases: list[str], analyzed: bool
) -> None:
    if analyzed:
        with psycopg.connect(postgres_url) as connection:
            connection.execute("ANALYZE")
    assert len(leases) == _LIVE
    named = frozenset(leases[:_BATCH])
    touched = Touched(lease_ids=named, request_ids=frozenset(f"r{n}" for n in range(_BATCH)))
    with contextlib.closing(open_engine(postgres_url)) as engine:
        with engine.writing(touched) as begun:
            lock = _rows_read(begun.connection, *sql.lock(touched, begun.now))
            asked = [Asked(name, begun.now, NEVER, _wanted(name)) for name in ("p", "q")]
            take = _rows_read(begun.connection, *sql.take(begun.now, asked, [FIRST, FIRST]))
    assert lock <= 4 * _BATCH
    assert take <= 4 * 2 * _BATCH


def _wanted(product: str) -> list[Wanted]:
    return [Wanted(f"{product}-{n}", None, None, None, None, None) for n in range(_BATCH)]


def _rows_read(connection: Connection, statement: str, parameters: Any) -> int:
    explained = connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
    )
    return _of_tables(explained.scalar_one()[0]["Plan"])


def _of_tables(node: dict[str, Any]) -> int:
    rows = sum(_of_tables(child) for child in node.get("Plans", ()))
    if node["Node Type"].endswith("Scan") and "Relation Name" in node:
        removed = node.get("Rows Removed by Filter", 0)
        rows += round((node["Actual Rows"] + removed) * node["Actual Loops"])
    return rows

"""The line between two processes on PostgreSQL: its lock, and which of them wait for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from appid_manager_client.server.operations import Acquire, Granted, Init, Release, Unavailable
from appid_manager_client.server.store import postgres_sql as sql
from appid_manager_client.server.store.contract import Touched

from .test_line import WAIT, draw, held, hold_over_the_turn
from .world import World


@pytest.fixture
def world(postgres_url: str) -> Iterator[World]:
    """The product "p" has two AppIDs, and both are in use; "q" has one."""
    made = World(postgres_url)
    made.do(Init("p", {"a": 1, "b": 2}), Init("q", {"c": 3}))
    made.do(Acquire("p"), Acquire("p"))
    yield made
    made.store.close()


@contextlib.contextmanager
def line_locked(url: str, product: str) -> Iterator[None]:
    """Another process is in the middle of a batch that changes the line of a product."""
    with contextlib.closing(psycopg.connect(url, autocommit=True)) as other:
        other.execute(sql.begin(Touched(lines=frozenset({product}))).encode())
        yield
        other.execute("ROLLBACK")


def test_whoever_asks_while_somebody_is_present_waits_for_the_line(world: World) -> None:
    draw(world, "r1")
    at = hold_over_the_turn(world, "r1")
    with line_locked(world.url, "p"):
        for asked in (Acquire("p"), held("r1", at + WAIT)):
            outcome = world.do(asked)
            assert isinstance(outcome, Unavailable)
            assert outcome.reason == "locked"
        assert isinstance(world.do(Acquire("q")), Granted)
    assert isinstance(world.do(held("r1", at + WAIT)), Granted)


def test_where_nobody_is_present_nobody_waits_for_the_line(world: World) -> None:
    draw(world, "r1")
    world.do(Release("p", "a"))
    with line_locked(world.url, "p"):
        assert isinstance(world.do(Acquire("p", force=True)), Granted)

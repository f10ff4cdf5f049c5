"""A clock that is ahead for a while: it deletes nothing, and what is answered is true."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from appid_manager_client.server.operations import (
    Acquire,
    Exhausted,
    Granted,
    Init,
    Refused,
    Release,
    Reserve,
    Sweep,
)
from appid_manager_client.server.records import HistoryQuery

from .world import DAY_MS, HOUR_MS, World


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    yield made
    made.store.close()


def steady_for_an_hour(world: World) -> None:
    """Let real hours pass, which are longer than those of the tests."""
    world.jumped = False
    world.now += 3600_000


def leap(world: World, milliseconds: int) -> None:
    world.now += milliseconds
    world.jumped = True
    world.do(Sweep())
    world.jumped = False


def used(world: World, request: str | None = None) -> Granted:
    grant: Granted = world.do(Acquire("p", request_id=request))
    world.do(Release("p", grant.appid))
    return grant


def test_a_leap_of_the_clock_deletes_no_history(world: World) -> None:
    world.do(Init("p", {"a": 1}))
    used(world)
    steady_for_an_hour(world)
    leap(world, 1000 * DAY_MS)
    world.do(Sweep(prune=True))
    assert len(world.store.history(HistoryQuery()).leases) == 1
    leap(world, -1000 * DAY_MS)
    steady_for_an_hour(world)
    world.do(Sweep(prune=True))
    assert len(world.store.history(HistoryQuery()).leases) == 1
    world.now += 3 * DAY_MS
    world.do(Sweep(prune=True))
    assert world.store.history(HistoryQuery()).leases == []


def test_a_start_with_a_clock_that_is_ahead_deletes_no_history(world: World) -> None:
    world.do(Init("p", {"a": 1}))
    used(world)
    world.store.close()
    world.now += 1000 * DAY_MS
    world.store = world.open()
    world.do(Sweep(prune=True))
    assert len(world.store.history(HistoryQuery()).leases) == 1


def test_a_leap_of_the_clock_forgets_no_request(world: World) -> None:
    world.do(Init("p", {"a": 1, "b": 2}))
    request = uuid.uuid4().hex
    used(world, request)
    steady_for_an_hour(world)
    leap(world, 2 * DAY_MS)
    again = world.do(Acquire("p", request_id=request))
    assert isinstance(again, Refused) and again.code == "request_ended"
    steady_for_an_hour(world)
    assert isinstance(world.do(Acquire("p", request_id=request)), Granted)


def test_the_next_try_is_told_truly_where_every_last_use_lies_in_the_future(world: World) -> None:
    world.do(Init("p", {"a": 1, "b": 2}))
    leap(world, 30 * HOUR_MS)
    used(world)
    leap(world, 10 * HOUR_MS)
    used(world)
    leap(world, -40 * HOUR_MS)
    hour = world.store.hours.at(world.now)
    refused = world.do(Acquire("p"))
    assert isinstance(refused, Exhausted)
    assert (refused.reason, refused.available_at) == ("no_available", hour.end + 30 * HOUR_MS)
    assert world.do(Acquire("p", force=True)).appid == "a"
    assert world.do(Acquire("p")).available_at == hour.end + 30 * HOUR_MS, "in use, and used then"
    world.do(Reserve("p", "b", False))
    assert world.do(Acquire("p")).appid == "b"


def test_one_that_can_come_free_at_the_turn_is_what_counts(world: World) -> None:
    world.do(Init("p", {"a": 1, "b": 2, "c": 3}))
    leap(world, 30 * HOUR_MS)
    used(world)
    leap(world, -30 * HOUR_MS)
    end = world.store.hours.at(world.now).end
    for ready in (lambda: world.do(Acquire("p")), lambda: used(world)):
        assert isinstance(ready(), Granted)
    assert world.do(Acquire("p")).available_at == end

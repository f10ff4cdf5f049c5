"""Leases without a ttl that were granted to somebody who was gone: they end unless it comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appid_manager_client.server.operations import (
    Acquire,
    Doubt,
    Extended,
    Granted,
    Heartbeat,
    Init,
    Refused,
    Sweep,
)
from appid_manager_client.server.store.doubt import DOUBT_MS

from .world import World

REQUEST = "6b2b5d4e-0f0e-4d43-8e9f-000000000001"


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    yield made
    made.store.close()


def granted(world: World, ttl_ms: int | None = None) -> Granted:
    """Somebody who was gone has the only AppID."""
    world.do(Init("p", {"a": 1}))
    lease = world.do(Acquire("p", request_id=REQUEST, ttl_ms=ttl_ms))
    assert isinstance(lease, Granted)
    return lease


def doubt(world: World, lease: Granted) -> None:
    assert world.do(Doubt(lease.lease_id)) == Extended({lease.lease_id: world.now + DOUBT_MS})


def is_live(world: World) -> bool:
    world.do(Sweep())
    return not isinstance(world.do(Acquire("p", request_id=REQUEST)), Refused)


def test_it_ends_after_a_minute(world: World) -> None:
    doubt(world, granted(world))
    world.now += DOUBT_MS
    assert not is_live(world)


def test_who_asks_again_has_it_for_as_long_as_it_asked_for(world: World) -> None:
    lease = granted(world)
    doubt(world, lease)
    world.now += DOUBT_MS - 1
    again = world.do(Acquire("p", request_id=REQUEST))
    assert (again.lease_id, again.expires) == (lease.lease_id, None)
    world.now += 100 * DOUBT_MS
    assert is_live(world)


def test_who_sends_a_heartbeat_has_it_too(world: World) -> None:
    lease = granted(world)
    doubt(world, lease)
    beat = world.do(Heartbeat([lease.lease_id], world.now))
    assert beat.expires == {lease.lease_id: None}
    world.now += 100 * DOUBT_MS
    assert is_live(world)


def test_a_lease_with_a_ttl_keeps_it(world: World) -> None:
    doubt(world, granted(world, ttl_ms=1000))
    world.now += 1000
    assert not is_live(world)


def test_a_lease_that_has_ended_stays_so(world: World) -> None:
    lease = granted(world)
    world.do(Init("p", {"a": 1}))
    world.do(Doubt(lease.lease_id))
    assert not is_live(world)


def test_in_one_batch_with_the_request_that_comes_again_it_lasts(world: World) -> None:
    lease = granted(world)
    world.do(Doubt(lease.lease_id), Acquire("p", request_id=REQUEST))
    world.now += DOUBT_MS
    assert is_live(world)

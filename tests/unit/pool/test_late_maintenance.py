"""What a pool does while its maintenance is late: the machine slept, or had no time for its thread.

Here time passes without `world.run`, so that nothing is tended to meanwhile.
"""

from __future__ import annotations

import pytest

from appid_manager_client.errors import PoolTimeout
from appid_manager_client.pool.pool import LeasePool
from tests.support.poolworld import Caller, World

MARGIN = 5.0


@pytest.fixture
def pool(world: World) -> LeasePool:
    return world.pool(max_size=1, renew_margin=MARGIN, timeout=None)


@pytest.fixture
def holder(world: World, pool: LeasePool) -> Caller:
    """Somebody who has the only AppID."""
    caller = world.ask(pool)
    world.run(1.0)
    assert caller.served
    return caller


def sleep_into_the_margin(world: World) -> None:
    world.time.now += world.to_the_turn - MARGIN / 2


def test_what_is_idle_is_not_handed_out_once_the_margin_began(
    world: World, pool: LeasePool, holder: Caller
) -> None:
    holder.give_back()
    sleep_into_the_margin(world)
    assert isinstance(world.ask(pool, timeout=0).error, PoolTimeout)
    waiter = world.ask(pool)
    world.run(MARGIN)
    assert waiter.served
    assert waiter.lease.hour_end > holder.lease.hour_end
    assert pool.get_stats().burned == 0


def test_what_comes_back_once_the_margin_began_is_not_handed_on(
    world: World, pool: LeasePool, holder: Caller
) -> None:
    waiter = world.ask(pool)
    sleep_into_the_margin(world)
    holder.give_back()
    assert not waiter.served
    world.run(MARGIN)
    assert waiter.served
    assert waiter.lease.hour_end > holder.lease.hour_end
    assert pool.get_stats().burned == 0


def test_what_comes_back_after_the_turn_is_not_handed_on(
    world: World, pool: LeasePool, holder: Caller
) -> None:
    waiter = world.ask(pool)
    world.time.now += world.to_the_turn + 1.0
    assert holder.lease.remaining == 0, "its user can see that the hour is over"
    holder.give_back()
    assert not waiter.served
    world.run(1.0)
    assert waiter.served
    assert waiter.lease.hour_end > holder.lease.hour_end

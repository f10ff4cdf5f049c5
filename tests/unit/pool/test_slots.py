"""Who gets which AppID of a pool, on a simulated clock: checkouts, returns, losses, the end."""

from __future__ import annotations

import pytest

from appid_manager_client.errors import LeaseInUse, PoolClosed, PoolTimeout
from appid_manager_client.lease.claim import Claim, ClaimState, PendingRelease
from appid_manager_client.pool.model import AcquireResult, PoolOptions
from appid_manager_client.pool.plan import PoolPlan
from appid_manager_client.wire.clock import ServerClock
from appid_manager_client.wire.models import Grant
from tests.support.poolworld import World


def test_one_appid_serves_many_checkouts_one_at_a_time(world: World) -> None:
    pool = world.pool()
    for _ in range(50):
        (caller,) = world.have(pool)
        caller.give_back()
    assert len(world.service.log) == 1
    assert pool.get_stats().checkouts == 50


def test_max_uses_1_gives_every_checkout_an_appid_of_its_own(world: World) -> None:
    pool = world.pool(max_uses=1)
    appids = set()
    for _ in range(5):
        (caller,) = world.have(pool)
        appids.add(caller.lease.appid)
        caller.give_back()
    assert len(appids) == 5
    world.run(1.0)
    assert world.service.in_use == []


def test_a_pool_never_holds_more_than_max_size(world: World) -> None:
    pool = world.pool(max_size=3)
    callers = [world.ask(pool) for _ in range(10)]
    world.run(5.0)
    assert [caller.served for caller in callers] == [True] * 3 + [False] * 7
    assert len(world.service.log) == 3


def test_a_timeout_of_0_takes_only_an_idle_appid(world: World) -> None:
    pool = world.pool()
    assert isinstance(world.ask(pool, timeout=0).error, PoolTimeout)
    world.use(pool)
    assert world.ask(pool, timeout=0).served


def test_a_lease_serves_one_block_at_a_time_and_can_be_used_again(world: World) -> None:
    (caller,) = world.have(world.pool())
    with pytest.raises(LeaseInUse):
        caller.lease.acquire()
    assert caller.lease.held
    caller.give_back()
    assert caller.lease.acquire().held


@pytest.mark.parametrize("on_error, kept", [("release", False), ("keep", True)])
def test_the_appid_of_a_body_that_raised_is_reused_only_on_request(
    world: World, on_error: str, kept: bool
) -> None:
    pool = world.pool(on_error=on_error)
    (caller,) = world.have(pool)
    caller.give_back(failed=True)
    world.run(1)
    assert (caller.lease.appid in world.service.in_use) is kept
    assert pool.get_stats().size == int(kept)


def test_a_release_that_can_not_be_delivered_is_the_keepers_and_makes_room(world: World) -> None:
    pool = world.pool(max_size=1)
    (caller,) = world.have(pool)
    world.wire.down_until = world.time.now + 5
    caller.give_back(failed=True)
    world.run(1.0)
    (pending,) = world.keeper.pending
    assert isinstance(pending, PendingRelease)
    assert pool.get_stats().size == 0
    world.run(100)
    assert world.service.in_use == []


def test_a_lease_that_was_lost_is_not_handed_out_again(world: World) -> None:
    pool = world.pool(ttl=60.0)
    (caller,) = world.have(pool)
    lent = world.service.log[0]
    world.service.end(lent, world.service_ms())
    world.time.now += 25
    world.keeper.run_once()
    assert caller.lease.lost and not caller.lease.held
    caller.give_back()
    world.run(1.0)
    stats = pool.get_stats()
    assert (stats.lost, stats.size, stats.checked_out) == (1, 0, 0)
    assert world.ask(pool).lease.slot is None


def test_an_idle_lease_without_heartbeats_for_its_ttl_is_not_handed_out(world: World) -> None:
    pool = world.pool(ttl=60.0)
    (first,) = world.use(pool)
    world.time.now += 61
    (second,) = world.have(pool)
    assert second.lease.appid != first.lease.appid


def test_closing_fails_all_waiters_and_releases_what_is_idle(world: World) -> None:
    pool = world.pool(timeout=None)
    caller, idle = world.have(pool, 2)
    idle.give_back()
    waiter = world.ask(pool, min_remaining=3500)
    world.close_pool(pool)
    assert isinstance(waiter.error, PoolClosed)
    assert isinstance(world.ask(pool).error, PoolClosed)
    world.run(1.0)
    assert world.service.in_use == [caller.lease.appid]


def test_between_its_close_and_its_next_round_a_pool_hands_nothing_out(world: World) -> None:
    pool = world.pool()
    world.use(pool)
    world.plan_of(pool).close()
    assert isinstance(world.ask(pool).error, PoolClosed)


@pytest.mark.parametrize("state", [ClaimState.OWED, ClaimState.ENDED, ClaimState.HELD])
def test_an_appid_that_was_lost_before_its_answer_got_here_is_not_lent(
    world: World, state: ClaimState
) -> None:
    """A heartbeat said so, or the client was closed, while the grant was on its way."""
    plan = PoolPlan("p", "http://127.0.0.1", PoolOptions(), ServerClock(world.time), world.time)
    claim = Claim("p", grant=Grant("a", 1, "p", 0), state=state)
    plan.demand.in_flight += 1
    plan.acquire_ended(AcquireResult(claim, world.time.now, hour_end=1e9), world.time.now)
    assert len(plan.slots) == int(state is ClaimState.HELD)

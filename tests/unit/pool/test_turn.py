"""What a pool does before, at and after the turn of the hour, on a simulated clock."""

from __future__ import annotations

import pytest

from appid_manager_client.errors import PoolTimeout
from appid_manager_client.pool.pool import LeasePool
from tests.support.poolworld import HOUR, Caller, MakeWorld, World

MARGIN = 5.0


# --- before the turn


def test_idle_appids_are_released_before_the_turn_and_none_is_burned(world: World) -> None:
    pool = world.pool(renew_margin=MARGIN)
    world.use(pool, 3)
    world.run(world.to_the_turn - MARGIN - 0.2)
    assert len(world.service.in_use) == 3
    world.run(0.5)
    assert world.service.in_use == []
    assert pool.get_stats().burned == 0


def test_a_lease_in_use_is_left_alone_over_the_turn_and_not_reused(world_at: MakeWorld) -> None:
    world = world_at(100)
    pool = world.pool()
    (caller,) = world.have(pool)
    world.run(200)
    assert caller.lease.appid in world.service.in_use
    assert caller.lease.remaining == 0
    assert pool.get_stats().burned == 1
    caller.give_back()
    world.run(1)
    assert caller.lease.appid not in world.service.in_use
    assert world.ask(pool).lease.slot is not caller.lease.slot


def test_a_margin_longer_than_the_hour_leaves_most_of_the_hour(world: World) -> None:
    pool = world.pool(renew_margin=7200.0)
    world.use(pool)
    world.run(2500)
    assert world.ask(pool).served


def test_short_hours_take_a_tenth_of_themselves_as_margin(world_at: MakeWorld) -> None:
    world = world_at(3.0, hour_seconds=4)
    pool = world.pool(renew_margin=MARGIN)
    world.use(pool)
    world.run(1.5)
    assert world.service.in_use
    world.run(0.2)
    assert not world.service.in_use
    assert pool.get_stats().burned == 0


def test_a_wait_over_the_turn_is_refused_at_once_when_it_can_not_end_in_time(
    world_at: MakeWorld,
) -> None:
    world = world_at(4.0)
    caller = world.ask(world.pool(), timeout=1.0)
    world.run(0.1)
    assert isinstance(caller.error, PoolTimeout)
    assert caller.error.available_at is not None


# --- after the turn


def test_checkouts_wait_over_the_turn_and_the_first_comes_within_100_ms_of_it(
    world_at: MakeWorld,
) -> None:
    world = world_at(3.0)
    caller = world.ask(world.pool())
    world.run(2.9)
    assert not caller.served and world.service.log == []
    world.run(0.2)
    assert caller.served
    (lent,) = world.service.log
    assert 0 <= lent.start - lent.hour < 100


def test_pools_spread_their_first_acquires_over_50_ms(world_at: MakeWorld) -> None:
    lags = []
    for seed in range(20):
        world = world_at(1.0, seed=seed)
        world.ask(world.pool())
        world.run(2.0)
        (lent,) = world.service.log
        lags.append(lent.start - lent.hour)
    assert max(lags) - min(lags) > 25
    assert max(lags) < 100


@pytest.mark.parametrize("at_once, times", [(3, 1), (1, 10)])
def test_what_was_checked_out_at_once_in_the_hour_before_is_acquired_again(
    world_at: MakeWorld, at_once: int, times: int
) -> None:
    world = world_at(100)
    pool = world.pool(max_size=8)
    for _ in range(times):
        world.use(pool, at_once)
    world.run(101)
    assert pool.get_stats().idle == pool.get_stats().renewals == at_once


def test_what_comes_back_from_the_hour_before_is_not_taken_for_one_of_this_hour(
    world_at: MakeWorld,
) -> None:
    world = world_at(100)
    pool = world.pool()
    (late,) = world.have(pool)
    world.run(100)
    callers = world.have(pool, 2)
    late.give_back()
    world.run(1)
    callers += world.have(pool)
    for caller in callers:
        caller.give_back()
    world.run(world.to_the_turn + 1)
    assert pool.get_stats().idle == 3, "so many were checked out at once"


def test_an_hour_in_which_nobody_came_ends_the_renewals(world_at: MakeWorld) -> None:
    world = world_at(100)
    pool = world.pool()
    world.use(pool, 2)
    world.run(5 * HOUR)
    assert len(world.service.log) == 4
    assert pool.get_stats().burned == 2
    assert world.service.in_use == []


def test_min_size_is_held_in_every_hour(world_at: MakeWorld) -> None:
    world = world_at(100)
    pool = world.pool(min_size=2)
    world.run(1)
    assert pool.get_stats().idle == 2
    world.run(2 * HOUR)
    assert pool.get_stats().idle == 2
    assert len(world.service.log) == 6
    assert pool.get_stats().burned == 4


# --- renewals


def test_a_renewal_leaves_its_appid_to_others_and_gets_one_of_the_next_hour(
    world_at: MakeWorld,
) -> None:
    world = world_at(200)
    pool = world.pool(max_size=1, timeout=30.0)
    (first,) = world.have(pool)
    appid = first.lease.appid
    renewed = first.renew()
    other = world.ask(pool)
    world.run(1.0)
    assert (renewed.served, other.served) == (False, True)
    assert other.lease.appid == appid
    other.give_back()
    world.run(world.to_the_turn + 0.1)
    assert renewed.served and renewed.error is None, "a checkout's timeout counts from the turn on"
    assert renewed.lease.appid != appid
    assert renewed.lease.remaining > 3590
    assert pool.get_stats().burned == 0


def test_a_job_of_three_hours_burns_nothing_when_it_renews_near_each_turn(world: World) -> None:
    pool = world.pool()
    (caller,) = world.have(pool)
    for _ in range(3):
        assert not caller.lease.renew(within=60)
        world.run(world.to_the_turn - 50)
        caller = caller.renew()
        world.run(50.1)
        assert caller.served
    caller.give_back()
    assert len(world.service.log) == 4
    assert all(lent.start - lent.hour < 100 for lent in world.service.log[1:])
    assert pool.get_stats().burned == 0


# --- the maintenance is late: time passes without `world.run`, so that no round is run


@pytest.fixture
def pool(world: World) -> LeasePool:
    return world.pool(max_size=1, renew_margin=MARGIN, timeout=None)


@pytest.fixture
def holder(world: World, pool: LeasePool) -> Caller:
    """Has the only AppID."""
    return world.have(pool)[0]


def test_what_is_idle_is_not_handed_out_once_the_margin_began(
    world: World, pool: LeasePool, holder: Caller
) -> None:
    holder.give_back()
    world.time.now += world.to_the_turn - MARGIN / 2
    assert isinstance(world.ask(pool, timeout=0).error, PoolTimeout)
    waiter = world.ask(pool)
    world.run(MARGIN)
    assert waiter.served
    assert waiter.lease.hour_end > holder.lease.hour_end
    assert pool.get_stats().burned == 0


@pytest.mark.parametrize(
    "after_the_turn, within, burned", [(-MARGIN / 2, MARGIN, 0), (1.0, 1.0, 1)]
)
def test_what_comes_back_once_the_margin_began_is_not_handed_on(
    world: World,
    pool: LeasePool,
    holder: Caller,
    after_the_turn: float,
    within: float,
    burned: int,
) -> None:
    waiter = world.ask(pool)
    world.time.now += world.to_the_turn + after_the_turn
    assert (holder.lease.remaining == 0) is (after_the_turn > 0), "its user sees the hour end"
    holder.give_back()
    assert not waiter.served
    world.run(within)
    assert waiter.served
    assert waiter.lease.hour_end > holder.lease.hour_end
    assert pool.get_stats().burned == burned


def test_a_machine_that_slept_over_the_turn_hands_out_nothing_of_the_old_hour(
    world: World,
) -> None:
    pool = world.pool()
    (first,) = world.use(pool)
    world.time.now += 5000
    second = world.ask(pool)
    assert not second.served
    world.run(1.0)
    assert second.served
    assert second.lease.appid != first.lease.appid
    assert pool.get_stats().burned >= 1


def test_a_machine_that_slept_over_several_turns_acquires_nothing_for_nobody(
    world: World,
) -> None:
    world.use(world.pool(), 3)
    world.time.now += 9000
    world.run(10.0)
    assert len(world.service.log) == 3
    assert world.service.in_use == []


# --- what is rare


def test_a_zone_that_shifts_at_a_field_service_is_noticed_before_its_next_turn(
    world_at: MakeWorld,
) -> None:
    world = world_at(100, extended=False)
    pool = world.pool()
    world.use(pool)
    world.after(world.to_the_turn, lambda: world.service.shift_zone(30))
    world.run(101)
    assert pool.get_stats().idle == 1
    assert world.to_the_turn < 1800
    world.run(world.to_the_turn - 2)
    assert world.service.in_use == [], "half an hour after the turn before"
    renewed = world.service.log[-1]
    assert world.service.hour_start(renewed.stop) == renewed.hour


def test_what_a_late_answer_brings_is_released_and_counted_for_both_hours(
    world_at: MakeWorld,
) -> None:
    late = 0
    for seed in range(20):
        world = world_at(14, seed=seed)
        world.dawdle = 16.0
        pool = world.pool(timeout=None)
        caller = world.ask(pool)
        world.run(100)
        assert caller.served
        assert caller.lease.start_time / 1000 + 3600 > caller.lease.hour_end - 1
        assert len(world.service.in_use) == 1
        unused = [lent for lent in world.service.log if lent.stop is not None]
        over = sum(world.service.hour_start(lent.stop) != lent.hour for lent in unused)
        assert pool.get_stats().burned == len(unused) + over
        late += over
    assert late


@pytest.mark.parametrize("extended", [True, False], ids=["ours", "legacy"])
def test_what_could_not_be_released_before_the_turn_is_counted_as_burned(
    world_at: MakeWorld, extended: bool
) -> None:
    world = world_at(100, extended=extended)
    pool = world.pool()
    (caller,) = world.have(pool)
    world.wire.down_until = world.time.now + 130
    caller.give_back()
    world.run(105)
    assert len(world.service.in_use) == 1
    assert pool.get_stats().burned == 1
    world.run(200)
    assert world.service.log[0].stop is not None
    assert pool.get_stats().burned == 1


def test_a_pool_runs_no_rounds_without_need(world: World) -> None:
    pool = world.pool()
    world.use(pool, 2)
    world.run(24 * HOUR)
    assert world.workers[pool].rounds < 60


def test_a_pool_that_knows_the_time_only_roughly_sleeps_until_the_hour_has_certainly_begun(
    world_at: MakeWorld,
) -> None:
    world = world_at(60)
    world.wire.delay = 1.0
    pool = world.pool()
    held_at_first = world.ask(pool, timeout=None)
    world.run(40)
    assert world.clock.latest() - world.clock.earliest() > 0.2
    held_at_first.give_back()
    before = world.workers[pool].rounds
    world.ask(pool, timeout=None)
    world.run(world.to_the_turn + 5)
    assert all(lent.start >= lent.hour for lent in world.service.log)
    assert len(world.service.log) == 2
    assert world.workers[pool].rounds - before < 30

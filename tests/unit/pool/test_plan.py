"""What a pool decides, in turned time: who is served and when, what is asked for, given back and burned."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appid_manager_client.errors import (
    InvalidRequest,
    LeaseInUse,
    PoolClosed,
    PoolTimeout,
    ServiceUnavailable,
)
from appid_manager_client.lease.claim import PendingRelease
from appid_manager_client.pool.pool import LeasePool
from tests.support.poolworld import Caller, World

HOUR = 3600.0
MakeWorld = Callable[..., World]


def held(world: World, pool: LeasePool, count: int) -> list[Caller]:
    callers = [world.ask(pool) for _ in range(count)]
    world.run(1.0)
    assert all(caller.served for caller in callers)
    return callers


def test_a_pool_asks_for_nothing_before_somebody_wants_a_lease(world_at: MakeWorld) -> None:
    world = world_at(1000)
    world.pool()
    world.run(10 * HOUR)
    assert world.service.calls == 0


def test_one_appid_serves_many_checkouts_one_at_a_time(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool()
    for _ in range(50):
        caller = world.ask(pool)
        world.run(1.0)
        caller.give_back()
    assert len(world.service.log) == 1
    assert pool.get_stats().checkouts == 50


def test_max_uses_1_gives_every_checkout_an_appid_of_its_own(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool(max_uses=1)
    appids = []
    for _ in range(5):
        caller = world.ask(pool)
        world.run(1.0)
        appids.append(caller.lease.appid)
        caller.give_back()
    assert len(set(appids)) == 5
    world.run(1.0)
    assert world.service.in_use == []


def test_a_pool_never_holds_more_than_max_size(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool(max_size=3)
    callers = [world.ask(pool) for _ in range(10)]
    world.run(5.0)
    assert [caller.served for caller in callers] == [True] * 3 + [False] * 7
    assert len(world.service.log) == 3


def test_waiters_are_served_first_come_first_served(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool(max_size=1, timeout=None)
    first = held(world, pool, 1)[0]
    waiting = [
        world.ask(pool, then=lambda caller: world.after(1.0, caller.give_back)) for _ in range(5)
    ]
    first.give_back()
    world.run(60.0)
    assert world.served[1:] == waiting


def test_a_waiter_that_gave_up_is_passed_over(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool(max_size=1)
    first = held(world, pool, 1)[0]
    quitter, patient = world.ask(pool), world.ask(pool)
    quitter.leave()
    first.give_back()
    assert (quitter.served, patient.served) == (False, True)


def test_who_needs_more_than_is_left_waits_for_the_next_hour_and_holds_up_nobody(
    world_at: MakeWorld,
) -> None:
    world = world_at(500)
    pool = world.pool(timeout=None)
    long, short = world.ask(pool, min_remaining=600), world.ask(pool)
    world.run(10)
    assert (long.served, short.served) == (False, True)
    world.run(500)
    assert long.served
    assert long.lease.remaining > 3500


def test_nothing_is_got_in_this_hour_for_who_needs_more_than_is_left_of_it(
    world_at: MakeWorld,
) -> None:
    world = world_at(500)
    pool = world.pool(timeout=None)
    caller = world.ask(pool, min_remaining=600)
    world.run(499)
    assert world.service.log == []
    world.run(2)
    assert caller.served
    assert pool.get_stats().acquired == 1
    assert pool.get_stats().burned == 0


def test_who_renews_leaves_its_appid_to_others_and_has_one_of_the_next_hour(
    world_at: MakeWorld,
) -> None:
    world = world_at(200)
    pool = world.pool(max_size=1, timeout=30.0)
    (first,) = held(world, pool, 1)
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


def test_a_job_of_three_hours_burns_nothing_when_it_renews_near_each_turn(
    world_at: MakeWorld,
) -> None:
    world = world_at(1000)
    pool = world.pool()
    (caller,) = held(world, pool, 1)
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


def test_idle_appids_are_given_back_before_the_turn_and_nothing_is_burned(
    world_at: MakeWorld,
) -> None:
    world = world_at(1000)
    pool = world.pool(renew_margin=5.0)
    for caller in held(world, pool, 3):
        caller.give_back()
    world.run(world.to_the_turn - 5.2)
    assert len(world.service.in_use) == 3
    world.run(0.5)
    assert world.service.in_use == []
    assert pool.get_stats().burned == 0


def test_checkouts_wait_over_the_turn_and_the_first_comes_within_100_ms_of_it(
    world_at: MakeWorld,
) -> None:
    world = world_at(3.0)
    pool = world.pool()
    caller = world.ask(pool)
    world.run(2.9)
    assert not caller.served and world.service.log == []
    world.run(0.2)
    assert caller.served
    (lent,) = world.service.log
    assert 0 <= lent.start - lent.hour < 100


def test_what_was_out_at_once_in_the_hour_before_is_got_again_after_the_turn(
    world_at: MakeWorld,
) -> None:
    world = world_at(100)
    pool = world.pool(max_size=8)
    for caller in held(world, pool, 3):
        caller.give_back()
    world.run(101)
    assert pool.get_stats().idle == 3
    assert pool.get_stats().renewals == 3


def test_one_at_a_time_is_one_after_the_turn_however_often_it_was(world_at: MakeWorld) -> None:
    world = world_at(100)
    pool = world.pool()
    for _ in range(10):
        (caller,) = held(world, pool, 1)
        caller.give_back()
    world.run(101)
    assert pool.get_stats().idle == 1


def test_appids_that_were_added_in_an_exhausted_hour_are_found_within_a_minute(
    world_at: MakeWorld,
) -> None:
    world = world_at(3000, appids=1)
    pool = world.pool(timeout=None)
    held(world, pool, 1)
    waiter = world.ask(pool)
    world.run(1.0)
    assert pool.get_stats().exhausted
    world.service.add("a1")
    world.run(61.0)
    assert waiter.served


def test_what_comes_back_from_the_hour_before_is_not_taken_for_one_of_this_hour(
    world_at: MakeWorld,
) -> None:
    world = world_at(100)
    pool = world.pool()
    (late,) = held(world, pool, 1)
    world.run(100)
    callers = held(world, pool, 2)
    late.give_back()
    world.run(1)
    callers += held(world, pool, 1)
    for caller in callers:
        caller.give_back()
    world.run(world.to_the_turn + 1)
    assert pool.get_stats().idle == 3, "so many were out at once"


def test_an_hour_in_which_nobody_came_ends_the_renewals(world_at: MakeWorld) -> None:
    world = world_at(100)
    pool = world.pool()
    for caller in held(world, pool, 2):
        caller.give_back()
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


def test_a_lease_in_use_is_left_alone_over_the_turn_and_not_reused(world_at: MakeWorld) -> None:
    world = world_at(100)
    pool = world.pool()
    (caller,) = held(world, pool, 1)
    world.run(200)
    assert caller.lease.appid in world.service.in_use
    assert caller.lease.remaining == 0
    assert pool.get_stats().burned == 1
    caller.give_back()
    world.run(1)
    assert caller.lease.appid not in world.service.in_use
    assert world.ask(pool).lease.slot is not caller.lease.slot


@pytest.mark.parametrize("on_error, kept", [("release", False), ("keep", True)])
def test_what_a_body_that_raised_had_is_reused_only_on_request(
    world_at: MakeWorld, on_error: str, kept: bool
) -> None:
    world = world_at(3000)
    pool = world.pool(on_error=on_error)
    (caller,) = held(world, pool, 1)
    caller.give_back(failed=True)
    world.run(1)
    assert (caller.lease.appid in world.service.in_use) is kept
    assert pool.get_stats().size == int(kept)


@pytest.mark.parametrize("extended", [True, False], ids=["ours", "legacy"])
def test_when_the_hour_has_nothing_left_the_error_comes_at_once_and_says_until_when(
    world_at: MakeWorld, extended: bool
) -> None:
    world = world_at(3000, appids=2, extended=extended)
    pool = world.pool(max_uses=1, timeout=30.0)
    for caller in held(world, pool, 2):
        caller.give_back()
    caller = world.ask(pool)
    world.run(1.0)
    assert isinstance(caller.error, PoolTimeout)
    assert caller.error.available_at == pytest.approx(world.service.hour_start() / 1000 + HOUR)
    assert pool.get_stats().exhausted


def test_with_nothing_left_a_waiter_waits_for_what_others_may_return(world_at: MakeWorld) -> None:
    world = world_at(3000, appids=1)
    pool = world.pool(timeout=30.0)
    (first,) = held(world, pool, 1)
    second = world.ask(pool)
    world.run(10.0)
    assert not second.done
    first.give_back()
    assert second.served


def test_with_nothing_left_nobody_waits_for_what_is_in_its_last_use(world_at: MakeWorld) -> None:
    world = world_at(3000, appids=1)
    pool = world.pool(timeout=30.0, max_uses=1)
    held(world, pool, 1)
    second = world.ask(pool)
    world.run(1.0)
    assert isinstance(second.error, PoolTimeout)
    assert second.error.available_at is not None


def test_a_wait_over_the_turn_is_refused_at_once_when_it_can_not_end_in_time(
    world_at: MakeWorld,
) -> None:
    world = world_at(4.0)
    pool = world.pool()
    caller = world.ask(pool, timeout=1.0)
    world.run(0.1)
    assert isinstance(caller.error, PoolTimeout)
    assert caller.error.available_at is not None


def test_a_timeout_of_0_takes_only_what_is_there(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool()
    assert isinstance(world.ask(pool, timeout=0).error, PoolTimeout)
    (caller,) = held(world, pool, 1)
    caller.give_back()
    assert world.ask(pool, timeout=0).served


def test_a_wrong_token_is_told_to_every_waiter_at_once_and_again_to_the_next(
    world_at: MakeWorld,
) -> None:
    world = world_at(3000)
    world.api.health()
    world.service.error = (403, "forbidden")
    pool = world.pool()
    callers = [world.ask(pool, timeout=None) for _ in range(3)]
    world.run(1.0)
    errors = [caller.error for caller in callers]
    assert all(isinstance(error, InvalidRequest) for error in errors)
    assert len({id(error) for error in errors}) == 3, "each raises an error of its own"
    calls = world.service.calls
    late = world.ask(pool)
    world.run(1.0)
    assert isinstance(late.error, InvalidRequest)
    assert world.service.calls > calls


def test_a_pool_that_can_not_be_filled_is_tried_ever_more_rarely(world_at: MakeWorld) -> None:
    world = world_at(3500)
    world.api.health()
    world.service.error = (403, "forbidden")
    world.pool(min_size=1)
    world.run(3000)
    assert 30 < world.service.calls < 400


def test_a_service_that_is_down_makes_waiters_wait_until_their_time_is_over(
    world_at: MakeWorld,
) -> None:
    world = world_at(3000)
    pool = world.pool(timeout=30.0)
    world.wire.down_until = world.time.now + 1000
    caller = world.ask(pool)
    world.run(29.9)
    assert not caller.done
    world.run(0.2)
    assert isinstance(caller.error, PoolTimeout)
    assert isinstance(caller.error.__cause__, ServiceUnavailable)
    assert "down" in str(caller.error)


def test_a_pool_goes_on_serving_what_it_holds_while_the_service_is_down(
    world_at: MakeWorld,
) -> None:
    world = world_at(3000)
    pool = world.pool()
    (caller,) = held(world, pool, 1)
    caller.give_back()
    world.wire.down_until = world.time.now + 1000
    for _ in range(10):
        caller = world.ask(pool)
        assert caller.served
        caller.give_back()
        world.run(10)


def test_a_service_that_comes_back_is_found_within_seconds(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool(timeout=None)
    world.wire.down_until = world.time.now + 600
    caller = world.ask(pool)
    world.run(611)
    assert caller.served


def test_a_lost_answer_costs_no_second_appid(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool()
    world.wire.lose_next = 2
    caller = world.ask(pool)
    world.run(10)
    assert caller.served
    assert len(world.service.log) == 1


def test_what_a_lost_answer_brought_is_given_up_before_the_turn(world_at: MakeWorld) -> None:
    world = world_at(10)
    pool = world.pool(timeout=None)
    world.wire.lose_next = 10**6
    world.ask(pool)
    world.run(4.9)
    assert world.service.in_use
    world.run(2.0)
    assert world.service.in_use == []
    assert all(lent.hour == world.service.hour_start() for lent in world.service.log)


def test_a_lease_that_was_lost_is_not_handed_out_again(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool(ttl=60.0)
    (caller,) = held(world, pool, 1)
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


def test_an_idle_lease_without_heartbeats_for_its_ttl_is_not_handed_out(
    world_at: MakeWorld,
) -> None:
    world = world_at(3000)
    pool = world.pool(ttl=60.0)
    (caller,) = held(world, pool, 1)
    caller.give_back()
    world.time.now += 61
    second = world.ask(pool)
    world.run(1.0)
    assert second.served
    assert second.lease.appid != caller.lease.appid


def test_a_machine_that_slept_over_the_turn_hands_out_nothing_of_the_old_hour(
    world_at: MakeWorld,
) -> None:
    world = world_at(1000)
    pool = world.pool()
    (caller,) = held(world, pool, 1)
    caller.give_back()
    world.time.now += 5000  # nothing runs meanwhile, not even the maintenance
    second = world.ask(pool)
    assert not second.served
    world.run(1.0)
    assert second.served
    assert second.lease.appid != caller.lease.appid
    assert pool.get_stats().burned >= 1


def test_a_margin_longer_than_the_hour_leaves_most_of_the_hour(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool(renew_margin=7200.0)
    (caller,) = held(world, pool, 1)
    caller.give_back()
    world.run(2500)
    assert world.ask(pool).served


def test_short_hours_take_a_tenth_of_themselves_as_margin(world_at: MakeWorld) -> None:
    world = world_at(3.0, hour_seconds=4)
    pool = world.pool(renew_margin=5.0)
    (caller,) = held(world, pool, 1)
    caller.give_back()
    world.run(1.5)
    assert world.service.in_use
    world.run(0.2)
    assert not world.service.in_use
    assert pool.get_stats().burned == 0


def test_a_pool_does_not_decide_without_need(
    world_at: MakeWorld,
) -> None:
    world = world_at(1000)
    pool = world.pool()
    for caller in held(world, pool, 2):
        caller.give_back()
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


def test_closing_tells_all_waiters_and_gives_back_what_is_idle(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool(max_size=2)
    first, second = held(world, pool, 2)
    second.give_back()
    world.ask(pool)
    waiter = world.ask(pool)
    world.close_pool(pool)
    world.run(1.0)
    assert isinstance(waiter.error, PoolClosed)
    assert isinstance(world.ask(pool).error, PoolClosed)


def test_what_is_out_when_the_pool_closes_is_given_back_when_it_returns(
    world_at: MakeWorld,
) -> None:
    world = world_at(3000)
    pool = world.pool()
    (caller,) = held(world, pool, 1)
    world.close_pool(pool)
    world.run(1.0)
    assert caller.lease.held
    caller.give_back()
    world.run(1.0)
    assert world.service.in_use == []


def test_a_lease_serves_one_block_at_a_time_and_can_be_used_again(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool()
    (caller,) = held(world, pool, 1)
    with pytest.raises(LeaseInUse):
        caller.lease.acquire()
    assert caller.lease.held
    caller.give_back()
    assert caller.lease.acquire().held


def test_a_release_that_can_not_be_delivered_is_the_keepers_and_makes_room(
    world_at: MakeWorld,
) -> None:
    world = world_at(3000)
    pool = world.pool(max_size=1)
    (caller,) = held(world, pool, 1)
    world.wire.down_until = world.time.now + 5
    caller.give_back(failed=True)
    world.run(1.0)
    (pending,) = world.keeper.pending
    assert isinstance(pending, PendingRelease)
    assert pool.get_stats().size == 0
    world.run(100)
    assert world.service.in_use == []


def test_a_legacy_service_without_the_product_is_told_apart_from_an_exhausted_one(
    world_at: MakeWorld,
) -> None:
    world = world_at(3000, appids=0, extended=False)
    pool = world.pool()
    caller = world.ask(pool)
    world.run(1.0)
    assert isinstance(caller.error, LookupError)


def test_after_the_turn_pools_spread_their_first_acquires_over_50_ms(world_at: MakeWorld) -> None:
    lags = []
    for seed in range(20):
        world = world_at(1.0, seed=seed)
        world.ask(world.pool())
        world.run(2.0)
        (lent,) = world.service.log
        lags.append(lent.start - lent.hour)
    assert max(lags) - min(lags) > 25
    assert max(lags) < 100


def test_a_service_that_fails_is_asked_by_one_acquire_at_a_time(world_at: MakeWorld) -> None:
    world = world_at(3000)
    pool = world.pool(max_size=50)
    held(world, pool, 1)
    world.wire.down_until = world.time.now + 60
    for _ in range(40):
        world.ask(pool)
    world.run(1.0)
    at_first = pool.get_stats().errors
    world.run(50)
    assert at_first <= 12
    assert pool.get_stats().errors - at_first < 12


def test_a_product_that_vanished_from_a_legacy_service_is_told_at_once(world_at: MakeWorld) -> None:
    world = world_at(3000, extended=False)
    pool = world.pool(max_uses=1)
    held(world, pool, 1)
    world.service.drop_product()
    for _ in range(2):
        caller = world.ask(pool)
        world.run(1.0)
        assert isinstance(caller.error, LookupError)

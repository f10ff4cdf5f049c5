"""What a pool asks of the service, on a simulated clock: how much, how often, after failures."""

from __future__ import annotations

import pytest

from appid_manager_client.errors import InvalidRequest, PoolTimeout, ServiceUnavailable
from appid_manager_client.pool.demand import Demand
from appid_manager_client.wire.clock import ServerClock
from appid_manager_client.wire.models import Wait
from tests.support.poolworld import HOUR, MakeWorld, World


def test_a_pool_acquires_nothing_before_somebody_wants_a_lease(world: World) -> None:
    world.pool()
    world.run(10 * HOUR)
    assert world.service.calls == 0


# --- the hour is exhausted


@pytest.mark.parametrize("extended", [True, False], ids=["ours", "legacy"])
def test_when_the_hour_has_nothing_left_the_error_comes_at_once_and_says_until_when(
    world_at: MakeWorld, extended: bool
) -> None:
    world = world_at(3000, appids=2, extended=extended)
    pool = world.pool(max_uses=1, timeout=30.0)
    world.use(pool, 2)
    caller = world.ask(pool)
    world.run(1.0)
    assert isinstance(caller.error, PoolTimeout)
    assert caller.error.available_at == pytest.approx(world.service.hour_start() / 1000 + HOUR)
    assert caller.error.retry_after == pytest.approx(3000, abs=2.0)
    assert pool.get_stats().exhausted


def test_with_nothing_left_a_waiter_waits_for_what_others_may_return(world_at: MakeWorld) -> None:
    world = world_at(3000, appids=1)
    pool = world.pool(timeout=30.0)
    (first,) = world.have(pool)
    second = world.ask(pool)
    world.run(10.0)
    assert not second.done
    first.give_back()
    assert second.served


def test_with_nothing_left_nobody_waits_for_what_is_in_its_last_use(world_at: MakeWorld) -> None:
    world = world_at(3000, appids=1)
    pool = world.pool(timeout=30.0, max_uses=1)
    world.have(pool)
    second = world.ask(pool)
    world.run(1.0)
    assert isinstance(second.error, PoolTimeout)
    assert second.error.available_at is not None


def test_appids_that_were_added_in_an_exhausted_hour_are_found_within_a_minute(
    world_at: MakeWorld,
) -> None:
    world = world_at(3000, appids=1)
    pool = world.pool(timeout=None)
    world.have(pool)
    waiter = world.ask(pool)
    world.run(1.0)
    assert pool.get_stats().exhausted
    world.service.add("a1")
    world.run(61.0)
    assert waiter.served


def test_an_exhausted_hour_ends_with_its_turn(world_at: MakeWorld) -> None:
    world = world_at(100, appids=2)
    pool = world.pool(timeout=None)
    callers = world.have(pool, 2)
    third = world.ask(pool)
    world.run(1.0)
    assert pool.get_stats().exhausted
    third.leave()
    for caller in callers:
        caller.give_back()
    world.run(world.to_the_turn + 1)
    assert not pool.get_stats().exhausted
    assert pool.get_stats().idle == 2, "as many as were checked out at once in the hour before"


def test_a_refusal_that_was_on_its_way_over_the_turn_says_nothing_of_the_new_hour(
    world: World,
) -> None:
    clock = ServerClock(world.time)
    service_now = 1_000_000.0
    clock.observe(int(service_now * 1000), world.time.now, world.time.now)
    clock.observe_hour(int((service_now + 5) * 1000))
    demand = Demand(clock, world.time)
    refusal = Wait(reason="no_available", retry_after=5.0)
    sent = world.time.now
    assert demand.exhausted(refusal, sent, world.time.now)
    world.time.now += 6.0
    demand.exhausted_until = None
    assert not demand.exhausted(refusal, sent, world.time.now)
    assert demand.exhausted_until is None


# --- errors that waiting can't help


def test_a_wrong_token_fails_every_waiter_at_once_and_again_the_next(world: World) -> None:
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


def test_a_pool_that_can_not_be_filled_is_tried_ever_more_rarely(world: World) -> None:
    world.api.health()
    world.service.error = (403, "forbidden")
    world.pool(min_size=1)
    world.run(2900)
    assert 30 < world.service.calls < 400


@pytest.mark.parametrize("vanished", [False, True], ids=["unknown", "vanished"])
def test_a_product_that_a_field_service_does_not_know_is_told_from_an_exhausted_one(
    world_at: MakeWorld, vanished: bool
) -> None:
    world = world_at(3000, appids=10 if vanished else 0, extended=False)
    pool = world.pool(max_uses=1)
    if vanished:
        world.have(pool)
        world.service.drop_product()
    for _ in range(2):
        caller = world.ask(pool)
        world.run(1.0)
        assert isinstance(caller.error, LookupError)


# --- failures that may pass


def test_a_service_that_is_down_makes_waiters_wait_until_their_deadline(world: World) -> None:
    pool = world.pool(timeout=30.0)
    world.wire.down_until = world.time.now + 1000
    caller = world.ask(pool)
    world.run(29.9)
    assert not caller.done
    world.run(0.2)
    assert isinstance(caller.error, PoolTimeout)
    assert isinstance(caller.error.__cause__, ServiceUnavailable)
    assert "down" in str(caller.error)


def test_a_pool_goes_on_serving_what_it_holds_while_the_service_is_down(world: World) -> None:
    pool = world.pool()
    world.use(pool)
    world.wire.down_until = world.time.now + 1000
    for _ in range(10):
        caller = world.ask(pool)
        assert caller.served
        caller.give_back()
        world.run(10)


def test_a_service_that_comes_back_is_found_within_seconds(world: World) -> None:
    pool = world.pool(timeout=None)
    world.wire.down_until = world.time.now + 600
    caller = world.ask(pool)
    world.run(611)
    assert caller.served


def test_a_service_that_fails_is_sent_one_acquire_at_a_time(world: World) -> None:
    pool = world.pool(max_size=50)
    world.have(pool)
    world.wire.down_until = world.time.now + 60
    for _ in range(40):
        world.ask(pool)
    world.run(1.0)
    at_first = pool.get_stats().errors
    world.run(50)
    assert at_first <= 12
    assert pool.get_stats().errors - at_first < 12


def test_a_service_that_says_when_to_come_back_is_left_alone_until_then(world: World) -> None:
    demand = Demand(ServerClock(world.time), world.time)
    error = ServiceUnavailable("busy", service="http://simulated", retry_after=40.0)
    assert demand.failed(error, 100.0)
    assert demand.acquire_at(True) == 140.0
    assert demand.failed(ServiceUnavailable("busy", service="http://simulated"), 141.0)
    assert 141.0 < demand.acquire_at(True) < 152.0


def test_a_lost_answer_costs_no_second_appid(world: World) -> None:
    world.wire.lose_next = 2
    caller = world.ask(world.pool())
    world.run(10)
    assert caller.served
    assert len(world.service.log) == 1


def test_what_a_lost_answer_brought_is_given_up_before_the_turn(world_at: MakeWorld) -> None:
    world = world_at(10)
    world.wire.lose_next = 10**6
    world.ask(world.pool(timeout=None))
    world.run(4.9)
    assert world.service.in_use
    world.run(2.0)
    assert world.service.in_use == []
    assert all(lent.hour == world.service.hour_start() for lent in world.service.log)

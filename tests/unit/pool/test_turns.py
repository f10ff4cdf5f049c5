"""What is rare at the turn of the hour: sleep over several, zones that shift, answers and releases that are late."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appid_manager_client.errors import ServiceUnavailable
from appid_manager_client.pool.demand import Demand
from appid_manager_client.pool.pool import LeasePool
from appid_manager_client.wire.clock import ServerClock
from appid_manager_client.wire.models import Wait
from tests.support.poolworld import Caller, World

MakeWorld = Callable[..., World]


def held(world: World, pool: LeasePool, count: int) -> list[Caller]:
    callers = [world.ask(pool) for _ in range(count)]
    world.run(1.0)
    assert all(caller.served for caller in callers)
    return callers


def test_a_machine_that_slept_over_several_turns_gets_nothing_for_nobody(world: World) -> None:
    pool = world.pool()
    for caller in held(world, pool, 3):
        caller.give_back()
    world.time.now += 9000
    world.run(10.0)
    assert len(world.service.log) == 3
    assert world.service.in_use == []


def test_a_zone_that_shifts_at_a_service_in_the_field_is_noticed_before_its_next_turn(
    world_at: MakeWorld,
) -> None:
    world = world_at(100, extended=False)
    pool = world.pool()
    (caller,) = held(world, pool, 1)
    caller.give_back()
    world.after(world.to_the_turn, lambda: world.service.shift_zone(30))
    world.run(101)
    assert pool.get_stats().idle == 1
    assert world.to_the_turn < 1800
    world.run(world.to_the_turn - 2)
    assert world.service.in_use == [], "half an hour after the turn before"
    renewed = world.service.log[-1]
    assert world.service.hour_start(renewed.stop) == renewed.hour


def test_an_exhausted_hour_ends_with_its_turn(world_at: MakeWorld) -> None:
    world = world_at(100, appids=2)
    pool = world.pool(timeout=None)
    callers = held(world, pool, 2)
    third = world.ask(pool)
    world.run(1.0)
    assert pool.get_stats().exhausted
    third.leave()
    for caller in callers:
        caller.give_back()
    world.run(world.to_the_turn + 1)
    assert not pool.get_stats().exhausted
    assert pool.get_stats().idle == 2, "what was out at once in the hour before"


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


def test_what_a_late_answer_brings_is_given_back_and_counted_for_both_hours(
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
def test_what_could_not_be_given_back_before_the_turn_is_counted_as_burned(
    world_at: MakeWorld, extended: bool
) -> None:
    world = world_at(100, extended=extended)
    pool = world.pool()
    (caller,) = held(world, pool, 1)
    world.wire.down_until = world.time.now + 130
    caller.give_back()
    world.run(105)
    assert len(world.service.in_use) == 1
    assert pool.get_stats().burned == 1
    world.run(200)
    assert world.service.log[0].stop is not None
    assert pool.get_stats().burned == 1


def test_a_service_that_says_when_to_come_back_is_left_alone_until_then(world: World) -> None:
    clock = ServerClock(world.time)
    demand = Demand(clock, world.time)
    error = ServiceUnavailable("busy", service="http://simulated", retry_after=40.0)
    assert demand.failed(error, 100.0)
    assert demand.acquire_at(True) == 140.0
    assert demand.failed(ServiceUnavailable("busy", service="http://simulated"), 141.0)
    assert 141.0 < demand.acquire_at(True) < 152.0

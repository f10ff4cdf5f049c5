"""First come, first served: threads and coroutines alike, also if callers give up meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from appid_manager_client import AppIdClient, LeasePool, PoolTimeout
from appid_manager_client.pool.queue import Waiter
from tests.support.poolworld import Caller, MakeWorld, World
from tests.support.services import AnyService
from tests.support.waiting import PATIENCE, wait_until

PRODUCT = "stt_billing"


def use_for_a_second(caller: Caller) -> None:
    if caller.served:
        caller.world.after(1.0, caller.give_back)


def ask(world: World, pool: LeasePool, count: int, **options: float) -> list[Caller]:
    return [world.ask(pool, then=use_for_a_second, **options) for _ in range(count)]


def order(world: World, *callers: Caller) -> list[int]:
    """The numbers of `callers`, in the order in which they were served."""
    return [callers.index(caller) for caller in world.served if caller in callers]


def test_who_comes_while_others_wait_stands_at_the_end(world: World) -> None:
    pool = world.pool(max_size=1, timeout=None)
    (holder,) = world.have(pool)
    callers = ask(world, pool, 3)
    holder.give_back()
    # Each time when a caller has just been served, the next comes.
    for _ in range(3):
        world.run(0.5)
        callers += ask(world, pool, 1)
        world.run(0.5)
    world.run(10.0)
    assert order(world, *callers) == [0, 1, 2, 3, 4, 5]


class Sleeper(Waiter):
    """A caller that has begun to wait, and is notified later."""

    def notify(self) -> bool:
        return True


def test_who_comes_takes_nothing_that_is_idle_for_one_who_waits(world: World) -> None:
    pool = world.pool(max_size=1)
    world.use(pool)
    # The AppID was given back just when this waiter had found nothing and began to wait.
    lease = pool.lease()
    sleeper = Sleeper(lease, world.time.now, None)
    assert not world.enqueue(pool, sleeper)
    newcomer = world.ask(pool, timeout=0)
    assert isinstance(newcomer.error, PoolTimeout)
    world.run(1.0)
    assert sleeper.served
    lease.release()


def test_who_runs_out_of_time_is_passed_over_and_the_others_keep_their_order(world: World) -> None:
    pool = world.pool(max_size=1)
    (holder,) = world.have(pool)
    first, second = ask(world, pool, 2, timeout=600)
    hurried = ask(world, pool, 1, timeout=5)[0]
    third, fourth = ask(world, pool, 2, timeout=600)
    world.run(10.0)
    assert isinstance(hurried.error, PoolTimeout)
    late = ask(world, pool, 1, timeout=600)[0]
    holder.give_back()
    world.run(20.0)
    assert order(world, first, second, hurried, third, fourth, late) == [0, 1, 3, 4, 5]


def test_who_gives_up_is_passed_over_and_the_others_keep_their_order(world: World) -> None:
    pool = world.pool(max_size=1, timeout=None)
    (holder,) = world.have(pool)
    callers = ask(world, pool, 5)
    callers[0].leave()
    callers[3].leave()
    holder.give_back()
    world.run(20.0)
    assert order(world, *callers) == [1, 2, 4]


def test_what_is_replaced_after_an_error_goes_to_the_first_who_waits(world: World) -> None:
    pool = world.pool(max_size=1, timeout=None)
    (holder,) = world.have(pool)
    callers = ask(world, pool, 3)
    holder.give_back(failed=True)
    newcomer = world.ask(pool, then=use_for_a_second)
    world.run(20.0)
    assert order(world, *callers, newcomer) == [0, 1, 2, 3]


def test_the_order_holds_over_the_turn_of_the_hour(world: World) -> None:
    pool = world.pool(max_size=1, timeout=None)
    world.use(pool)
    world.run(world.to_the_turn - 3.0)
    callers = ask(world, pool, 2)
    long = world.ask(pool, min_remaining=3000, then=use_for_a_second)
    callers += [long, *ask(world, pool, 1)]
    world.after(world.to_the_turn, lambda: callers.extend(ask(world, pool, 1)))
    world.run(20.0)
    assert order(world, *callers) == [0, 1, 2, 3, 4]


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


def test_nothing_is_acquired_in_this_hour_for_who_needs_more_than_is_left_of_it(
    world_at: MakeWorld,
) -> None:
    world = world_at(500)
    pool = world.pool(timeout=None)
    caller = world.ask(pool, min_remaining=600)
    world.run(499)
    assert world.service.log == []
    world.run(2)
    assert caller.served
    assert (pool.get_stats().acquired, pool.get_stats().burned) == (1, 0)


def test_who_is_deferred_to_the_next_hour_is_served_in_it_before_those_who_came_later(
    world: World,
) -> None:
    pool = world.pool(max_size=1, timeout=None)
    (holder,) = world.have(pool)
    long = world.ask(pool, min_remaining=3000, then=use_for_a_second)
    (short,) = ask(world, pool, 1)
    world.after(2.0, holder.give_back)
    world.run(world.to_the_turn - 3.0)
    late = ask(world, pool, 2)
    world.run(20.0)
    assert order(world, long, short, *late) == [1, 0, 2, 3]


def test_who_is_deferred_comes_back_when_the_hour_proves_to_be_long_enough(
    world_at: MakeWorld,
) -> None:
    world = world_at(500)
    pool = world.pool(timeout=None)
    long = world.ask(pool, min_remaining=600)
    world.run(1.0)
    assert not long.done
    world.service.shift_zone(30)
    assert world.to_the_turn > 2000
    world.ask(pool)  # its grant tells that the zone was shifted
    world.run(1.0)
    assert long.served


# --- with real threads and a real loop


@pytest.fixture
def pool(any_service: AnyService) -> Iterator[LeasePool]:
    any_service.init(PRODUCT, {"a1": 1})
    token = any_service.auth_token
    with AppIdClient(any_service.url, auth_token=token, journal=False) as client:
        with client.pool(PRODUCT, max_size=1, timeout=PATIENCE) as pool:
            yield pool


def test_threads_and_coroutines_that_wait_for_one_appid_are_served_as_they_came(
    pool: LeasePool,
) -> None:
    served: list[int] = []
    ends: list[Callable[[], object]] = []

    def thread_waits(number: int) -> None:
        def work() -> None:
            with pool.lease():
                served.append(number)

        thread = threading.Thread(target=work)
        thread.start()
        ends.append(lambda: thread.join(PATIENCE))

    def coroutine_waits(number: int) -> asyncio.Future[None]:
        async def work() -> None:
            async with pool.lease():
                served.append(number)

        async def begin() -> asyncio.Future[None]:
            return asyncio.ensure_future(work())

        return asyncio.run_coroutine_threadsafe(begin(), loop).result(PATIENCE)

    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()
    tasks = {}
    with pool.lease():
        for number in range(12):
            if number % 3 == 1:
                thread_waits(number)
            else:
                tasks[number] = coroutine_waits(number)
            wait_until(lambda: pool.get_stats().waiting == number + 1)
        for number in (0, 6):
            loop.call_soon_threadsafe(tasks[number].cancel)
        wait_until(lambda: pool.get_stats().waiting == 10)
        with pytest.raises(PoolTimeout):
            pool.lease(timeout=0.01).acquire()
        assert not pool.lease().release()
    wait_until(lambda: len(served) == 10)
    for end in ends:
        end()
    wait_until(lambda: all(task.done() for task in tasks.values()))
    loop.call_soon_threadsafe(loop.stop)
    running.join(PATIENCE)
    loop.close()
    assert served == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]


def test_who_comes_back_at_once_does_not_overtake_who_has_not_even_woken_up(
    pool: LeasePool,
) -> None:
    for _ in range(20):
        served: list[str] = []

        def patient(served: list[str] = served) -> None:
            with pool.lease():
                served.append("who waited")

        with pool.lease():
            thread = threading.Thread(target=patient)
            thread.start()
            wait_until(lambda: pool.get_stats().waiting == 1)
        with pool.lease():
            served.append("who came back")
        thread.join(PATIENCE)
        assert served == ["who waited", "who came back"]

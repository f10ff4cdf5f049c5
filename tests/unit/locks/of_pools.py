"""What the lock of a pool's plan guards: the slots, the queue, and the states of the tickets."""

from __future__ import annotations

from contextlib import ExitStack

from appid_manager_client.errors import PoolClosed, PoolTimeout
from appid_manager_client.pool import calls, lender, plan, slots
from appid_manager_client.pool.lease import PooledLease
from appid_manager_client.pool.pool import LeasePool
from tests.support.poolworld import World
from tests.support.switching import Play, Result, Scenes

SCENES = Scenes()
PARTS = (slots, plan, lender, calls)


def a_pool(stack: ExitStack, idle: int, **options: int) -> tuple[World, LeasePool]:
    """A pool with so many idle AppIDs, at a time when it need not ask for another."""
    world = stack.enter_context(World(appids=8))
    pool = world.pool(**{"max_size": idle, **options})
    world.use(pool, idle)
    return world, pool


def some_leases(stack: ExitStack, pool: LeasePool, count: int) -> list[PooledLease]:
    """Leases that don't wait, and are given back in the end."""
    leases = [pool.lease(timeout=0) for _ in range(count)]
    for lease in leases:
        stack.callback(lease.release)
    return leases


@SCENES.scene("PoolPlan", *PARTS)
def two_threads_check_the_last_one_out(stack: ExitStack) -> Play:
    world, pool = a_pool(stack, 1)
    leases = some_leases(stack, pool, 2)

    def check(*_: Result) -> None:
        assert [lease.held for lease in leases].count(True) == 1
        assert pool.get_stats().checked_out == 1

    return Play(leases[0].acquire, leases[1].acquire, check, may_raise=(PoolTimeout,))


@SCENES.scene("PoolPlan", *PARTS)
def two_threads_give_theirs_back(stack: ExitStack) -> Play:
    world, pool = a_pool(stack, 2)
    leases = [lease.acquire() for lease in some_leases(stack, pool, 2)]

    def check(*_: Result) -> None:
        for lease in leases:
            lease.acquire()
        assert world.plan_of(pool).slots.peak == 2, "so many are asked for after the turn"

    return Play(leases[0].release, leases[1].release, check)


@SCENES.scene("PoolPlan", *PARTS)
def two_threads_give_one_back(stack: ExitStack) -> Play:
    world, pool = a_pool(stack, 1)
    lease = some_leases(stack, pool, 1)[0].acquire()

    def check(*results: Result) -> None:
        assert [result.value for result in results].count(True) == 1
        assert pool.get_stats().idle == 1

    return Play(lease.release, lease.release, check)


@SCENES.scene("PoolPlan", *PARTS)
def one_is_checked_out_while_the_pool_closes(stack: ExitStack) -> Play:
    world, pool = a_pool(stack, 2)
    (lease,) = some_leases(stack, pool, 1)

    def check(_: Result, second: Result) -> None:
        if second.error is None:
            assert lease.appid in world.service.in_use
            lease.release()
        world.run(1.0)
        assert world.service.in_use == []

    return Play(
        lambda: world.close_pool(pool), lease.acquire, check, may_raise=(PoolClosed, PoolTimeout)
    )


@SCENES.scene("PoolPlan", *PARTS)
def one_is_checked_out_while_figures_are_read(stack: ExitStack) -> Play:
    world, pool = a_pool(stack, 2)
    (lease,) = some_leases(stack, pool, 1)

    def check(stats: Result, _: Result) -> None:
        found = stats.value
        assert found.idle + found.checked_out + found.giving_back == found.size

    return Play(pool.get_stats, lease.acquire, check)

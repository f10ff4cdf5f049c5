"""An interrupt wherever one can strike a checkout or a return, in turn: no slot is lost by any."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import appid_manager_client
from appid_manager_client import LeasePool, PoolTimeout
from appid_manager_client.pool.queue import ThreadWaiter
from tests.support.interrupts import Interrupt, Striker
from tests.support.poolworld import Caller, World

ROOT = str(Path(appid_manager_client.__file__).parent)


def struck(do: Callable[[], object]) -> Iterator[str]:
    """Strike each moment of `do`, in turn. Gives where it was, to tests that then look around."""
    # The first moment is before the body of `do` has begun.
    for moment in range(2, 100):
        striker = Striker(moment, ROOT)
        try:
            with striker:
                do()
        except Interrupt:
            pass
        if striker.where is None:
            assert moment > 4
            return
        yield striker.where
    raise AssertionError("it has no end")


@pytest.fixture
def pool(world: World) -> LeasePool:
    return world.pool(max_size=1, timeout=None)


@pytest.fixture
def holder(world: World, pool: LeasePool) -> Caller:
    return world.have(pool)[0]


def test_a_checkout_that_is_struck_leaves_its_slot_idle(pool: LeasePool, holder: Caller) -> None:
    holder.give_back()
    lease = pool.lease()
    for where in struck(lease.acquire):
        assert not lease.held, where
        assert pool.get_stats().idle == 1, where
    lease.release()


def test_a_wait_that_is_struck_leaves_nobody_waiting(
    world: World, pool: LeasePool, holder: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(waiter: ThreadWaiter, seconds: float) -> None:
        world.time.now += seconds

    def wait_in_vain() -> None:
        with contextlib.suppress(PoolTimeout):
            lease.acquire()

    monkeypatch.setattr(ThreadWaiter, "wait", wait)
    lease = pool.lease(timeout=0.1, min_remaining=60)
    for where in struck(wait_in_vain):
        assert pool.get_stats().waiting == 0, where
    assert holder.lease.held


def test_a_return_that_is_struck_leaves_its_slot_idle(pool: LeasePool, holder: Caller) -> None:
    for where in struck(lambda: holder.lease.release()):
        assert not holder.lease.held, where
        assert pool.get_stats().idle == 1, where
        holder.lease.acquire()


@pytest.mark.parametrize("min_remaining", [0, 60])
def test_a_return_that_is_struck_leaves_its_slot_to_the_waiter(
    world: World, pool: LeasePool, holder: Caller, min_remaining: float
) -> None:
    waiters = [world.ask(pool, min_remaining=min_remaining) for _ in range(2)]
    for where in struck(lambda: holder.lease.release()):
        assert [caller.lease.held for caller in (holder, *waiters)] == [False, True, False], where
        stats = pool.get_stats()
        assert (stats.checked_out, stats.waiting, stats.idle) == (1, 1, 0), where
        holder = waiters[0]
        waiters = [waiters[1], world.ask(pool, min_remaining=min_remaining)]

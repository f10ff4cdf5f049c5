"""Coroutines that have, wait for and cancel the leases of a pool."""

from __future__ import annotations

import asyncio
import threading

import pytest

from appid_manager_client import AppIdClient, LeasePool, PoolTimeout
from appid_manager_client.lease.waitlog import WaitLog
from appid_manager_client.pool.lender import Lender
from appid_manager_client.pool.queue import Waiter
from tests.support.services import AnyService
from tests.support.waiting import PATIENCE, wait_until
from tests.unit.pool.threads import PRODUCT


def test_a_coroutine_s_block_has_an_appid(service: AnyService, client: AppIdClient) -> None:
    async def main() -> None:
        async with client.pool(PRODUCT) as pool:
            async with pool.lease() as lease:
                assert lease.appid in service.in_use(PRODUCT)

    asyncio.run(main())
    assert service.in_use(PRODUCT) == []


def test_a_thousand_coroutines_wait_without_a_thread(client: AppIdClient) -> None:
    order: list[int] = []

    async def work(number: int) -> None:
        async with pool.lease(timeout=PATIENCE):
            order.append(number)

    async def main() -> None:
        async with pool.lease():
            tasks = [asyncio.create_task(work(number)) for number in range(1000)]
            await asyncio.sleep(0)
            wait_until(lambda: pool.get_stats().waiting == 1000)
            assert threading.active_count() - before < 10
        await asyncio.gather(*tasks)

    before = threading.active_count()
    with client.pool(PRODUCT, max_size=1) as pool:
        asyncio.run(main())
    assert order == list(range(1000))


def test_coroutines_of_one_loop_hand_leases_on_without_waking_the_loop_from_outside(
    client: AppIdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        for _ in range(10):
            async with pool.lease():
                await asyncio.sleep(0)

    async def main() -> int:
        async with pool.lease():
            pass  # has its AppID from here on
        loop = asyncio.get_running_loop()
        calls: list[object] = []
        monkeypatch.setattr(loop, "call_soon_threadsafe", calls.append)
        await asyncio.gather(*(work() for _ in range(8)))
        return len(calls)

    with client.pool(PRODUCT, max_size=1) as pool:
        assert asyncio.run(main()) == 0


def test_a_coroutine_that_is_not_notified_looks_again_until_its_time_is_over(
    client: AppIdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    left = Lender._left

    def look(lender: Lender, waiter: Waiter, log: WaitLog) -> float:
        looks.append(found := left(lender, waiter, log))
        return found

    async def main() -> None:
        monkeypatch.setattr(Lender, "_left", look)
        async with pool.lease():
            with pytest.raises(PoolTimeout):
                await pool.lease(timeout=0.7).acquire_async()

    with client.pool(PRODUCT, max_size=1) as pool:
        asyncio.run(main())
    assert len(looks) >= 3 and looks[0] == 0.5 and looks[-1] <= 0


def test_a_cancelled_wait_keeps_nothing(small_pool: LeasePool) -> None:
    async def main() -> None:
        async with small_pool.lease():
            task = asyncio.create_task(small_pool.lease().acquire_async())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert small_pool.get_stats().waiting == 0
        assert small_pool.get_stats().idle == 1

    asyncio.run(main())


def test_a_task_that_is_cancelled_when_it_was_just_served_gives_it_back(
    small_pool: LeasePool,
) -> None:
    async def main() -> None:
        holder = small_pool.lease()
        await holder.acquire_async()
        task = asyncio.create_task(small_pool.lease().acquire_async())
        await asyncio.sleep(0)
        holder.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert small_pool.get_stats().idle == 1

    asyncio.run(main())


def test_what_comes_for_a_coroutine_of_a_closed_loop_is_not_lost(small_pool: LeasePool) -> None:
    with small_pool.lease():
        # No task: one that is destroyed while it waits is reported.
        waiting = small_pool.lease().acquire_async()

        async def begin() -> None:
            waiting.send(None)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin())
        assert small_pool.get_stats().waiting == 1
        loop.close()
    wait_until(lambda: small_pool.get_stats().idle == 1)
    waiting.close()


def test_a_coroutine_s_wait_ends_in_time(small_pool: LeasePool) -> None:
    async def main() -> None:
        async with small_pool.lease():
            with pytest.raises(PoolTimeout):
                await small_pool.lease(timeout=0.05).acquire_async()

    asyncio.run(main())

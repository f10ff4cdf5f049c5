"""Leases in coroutines, against both kinds of service."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from appid_manager_client import AppIdClient
from tests.support.services import AnyService, hasty_client
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture
def client(service: AnyService) -> Iterator[AppIdClient]:
    with hasty_client(service) as made:
        yield made


def test_a_thousand_waiting_coroutines_hold_no_thread(service: AnyService) -> None:

    before = set(threading.enumerate())  # other tests may have left helpers that idle

    async def main(client: AppIdClient) -> None:
        async with client.lease("p"):
            waiters = [asyncio.create_task(_use(client)) for _ in range(1000)]
            # All have asked, so all wait.
            while len(service.calls_of("acquire")) < 1001:
                await asyncio.sleep(0.01)
            names = [each.name for each in set(threading.enumerate()) - before]
            assert not any(name.startswith("asyncio") for name in names)
            assert sum(name.startswith("appid-") for name in names) < 100
            loop = asyncio.get_running_loop()
            assert await asyncio.wait_for(loop.run_in_executor(None, lambda: 7), PATIENCE) == 7
            for waiter in waiters:
                waiter.cancel()
            told = await asyncio.gather(*waiters, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in told)

    with AppIdClient(service.url, 60, auth_token=service.auth_token) as client:
        asyncio.run(main(client))
    assert service.in_use() == []


async def _use(client: AppIdClient) -> str:
    async with client.lease("p") as lease:
        await asyncio.sleep(0)
        return lease.appid


def test_a_task_cancelled_at_any_moment_gives_the_appid_back(service: AnyService) -> None:
    service.init("p", {f"a{n}": n for n in range(400)})
    ended = {"cancelled": 0, "finished": 0}

    async def main(client: AppIdClient) -> None:
        took = statistics.median([await _seconds_of_use(client) for _ in range(5)])
        for moment in range(40):
            task = asyncio.create_task(_use(client))
            await asyncio.sleep(moment / 15 * took)
            task.cancel()
            try:
                await task
                ended["finished"] += 1
            except asyncio.CancelledError:
                ended["cancelled"] += 1

    with hasty_client(service) as client:
        asyncio.run(main(client))
        wait_until(lambda: not service.in_use() and not client.pending_releases)
    assert ended["cancelled"] > 5


async def _seconds_of_use(client: AppIdClient) -> float:
    began = time.perf_counter()
    await _use(client)
    return time.perf_counter() - began


def test_a_cancelled_release_goes_on_to_its_end(service: AnyService, client: AppIdClient) -> None:
    async def main() -> None:
        lease = client.lease("p")
        await lease.acquire_async()
        with service.hold("release", times=1) as gate:
            task = asyncio.create_task(lease.release_async())
            await asyncio.to_thread(gate.wait_reached)
            task.cancel()
            await asyncio.sleep(0.01)
            assert not task.done(), "one cancellation is endured until the release is through"
        with pytest.raises(asyncio.CancelledError):
            await task
        assert lease.released

    asyncio.run(main())
    assert service.in_use() == [] and len(service.calls_of("release")) == 1

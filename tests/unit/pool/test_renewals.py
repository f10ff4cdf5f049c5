"""Jobs of several hours: they give their AppID to the pool, and have one of the next hour."""

from __future__ import annotations

import asyncio

import pytest

from appid_manager_client import AppIdClient, LeaseLost, PoolTimeout
from tests.support.services import AnyService
from tests.support.waiting import wait_until
from tests.unit.pool.threads import PRODUCT


@pytest.fixture
def late(service: AnyService) -> AnyService:
    """The service, with four seconds left of its hour."""
    service.advance(service.hour_end() - service.now() - 4.0)
    return service


def test_a_renewed_lease_has_an_appid_of_the_next_hour(
    late: AnyService, client: AppIdClient
) -> None:
    turn = late.hour_end()
    with client.pool(PRODUCT, renew_margin=0.5) as pool:
        with pool.lease() as lease:
            assert lease.start_time < turn * 1000
            assert lease.renew(within=60)
            assert lease.start_time >= turn * 1000
            assert lease.held
            wait_until(lambda: late.in_use(PRODUCT) == [lease.appid])
            assert not lease.renew(within=60), "a whole hour is left"


def test_a_coroutine_renews_its_lease(late: AnyService, client: AppIdClient) -> None:
    async def main() -> None:
        async with client.pool(PRODUCT, renew_margin=0.5) as pool, pool.lease() as lease:
            assert await lease.renew_async(within=60)
            assert lease.start_time >= turn * 1000
            assert not await lease.renew_async(within=60)

    turn = late.hour_end()
    asyncio.run(main())
    assert late.in_use(PRODUCT) == []


def test_a_renewal_that_can_not_end_in_time_leaves_nothing_held(client: AppIdClient) -> None:
    with client.pool(PRODUCT) as pool:
        with pool.lease() as lease:
            with pytest.raises(PoolTimeout, match="none can be free before"):
                lease.renew(timeout=0.5)
            assert not lease.held
            with pytest.raises(LeaseLost, match="given back"):
                lease.renew()
        with lease:
            assert lease.held, "in the same hour: only the renewal wanted the next one"


def test_a_cancelled_renewal_keeps_nothing(client: AppIdClient) -> None:
    async def main() -> None:
        async with pool.lease() as lease:
            task = asyncio.create_task(lease.renew_async())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not lease.held
        assert (pool.get_stats().waiting, pool.get_stats().idle) == (0, 1)

    with client.pool(PRODUCT) as pool:
        asyncio.run(main())


@pytest.mark.parametrize("name", ["within", "timeout"])
def test_wrong_arguments_of_a_renewal_are_refused_by_name(client: AppIdClient, name: str) -> None:
    with client.pool(PRODUCT) as pool, pool.lease() as lease:
        with pytest.raises(ValueError, match=f"{name} must be at least 0"):
            lease.renew(**{name: -1})
        assert lease.held

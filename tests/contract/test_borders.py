"""What happens at the borders of a client: other libraries' loops, inits on the wire, its end."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio

from appid_manager_client import AppIdClient, ClientClosed, ConfigurationError, Lease
from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.services import AnyService, client_of
from tests.support.waiting import PATIENCE, wait_until


async def enter(lease: Lease) -> None:
    async with lease:
        raise AssertionError("it was entered")


ASYNC_WAYS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "async with client.lease": lambda client: enter(client.lease("p")),
    "acquire_async": lambda client: client.lease("p").acquire_async(),
    "async with pool.lease": lambda client: enter(client.pool("p").lease()),
}


@pytest.mark.parametrize("way", ASYNC_WAYS)
def test_another_librarys_loop_is_refused_in_one_line_before_anything_is_sent(
    service: AnyService, way: str
) -> None:
    with client_of(service) as client:

        async def main() -> None:
            with pytest.raises(ConfigurationError, match="with asyncio only"):
                await ASYNC_WAYS[way](client)

        trio.run(main)
        assert client.pending_releases == ()
    assert service.grants == []


def test_a_lease_that_was_granted_while_an_init_was_on_the_wire_is_looked_up_first(
    field_service: FieldService,
) -> None:
    """The init lands after the grant: a release without a look would spoil the AppID."""
    field_service.init("p", {"a": 1})
    with client_of(field_service) as client, ThreadPoolExecutor() as threads:
        with field_service.hold("init", "before") as stop:
            init = threads.submit(client.init_product, "p", {"a": 1})
            stop.wait_reached()
            lease = client.lease("p").acquire()
            stop.release()
            assert init.result(PATIENCE)
        lease.release()
        wait_until(lambda: not client.pending_releases)
        assert all(each.starttime is not None for each in field_service.returns)
        assert client.acquire_appid("p", timeout=0).appid == "a"


def test_a_lease_that_is_released_while_an_init_is_on_the_wire_is_looked_up_first(
    field_service: FieldService,
) -> None:
    field_service.init("p", {"a": 1})
    with client_of(field_service) as client, ThreadPoolExecutor() as threads:
        with field_service.hold("init", "after") as stop:
            with client.lease("p"):
                init = threads.submit(client.init_product, "p", {"a": 1})
                stop.wait_reached()  # done, and not answered yet
            stop.release()
            assert init.result(PATIENCE)
        assert all(each.starttime is not None for each in field_service.returns)


def threads_of_clients() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("appid-")}


def use_a_lease(client: AppIdClient) -> None:
    with client.lease("p"):
        pass


def use_a_pool(client: AppIdClient) -> None:
    with client.pool("p") as pool, pool.lease():
        pass


def use_a_pool_left_open(client: AppIdClient) -> object:
    pool = client.pool("p")
    with pool.lease():
        pass
    return pool


@pytest.mark.parametrize(
    "use",
    [use_a_lease, use_a_pool, use_a_pool_left_open, lambda client: client.acquire_appid("p")],
    ids=["lease", "pool", "pool left open", "plain"],
)
def test_the_threads_of_a_client_are_gone_when_its_close_returns(
    any_service: AnyService, use: Callable[[AppIdClient], object]
) -> None:
    any_service.init("p", {"a": 1, "b": 2})
    before = threads_of_clients()
    client = client_of(any_service)
    kept = use(client)
    client.close()
    assert threads_of_clients() - before == set()
    del kept


def test_the_threads_of_a_pool_are_gone_when_its_close_returns(service: AnyService) -> None:
    with client_of(service) as client:
        before = {name for name in threads_of_clients() if "appid-pool" in name}
        pool = client.pool("p")
        with pool.lease():
            pass
        pool.close()
        assert {name for name in threads_of_clients() if "appid-pool" in name} == before


def test_who_acquires_while_the_client_is_closed_hears_that_it_is_closed(
    any_service: AnyService,
) -> None:
    any_service.init("p", {f"a{number}": number for number in range(1000)})
    client = client_of(any_service)

    def acquire() -> None:
        while True:
            with client.lease("p", timeout=5):
                pass

    with ThreadPoolExecutor(41) as threads:
        ends = [threads.submit(acquire) for _ in range(40)]
        hang = any_service.faults.queue("acquire", Fault.HANG)
        hang.wait_reached()
        closing = threads.submit(client.close)
        hang.release()
        assert {type(end.exception(PATIENCE)) for end in ends} == {ClientClosed}
        closing.result(PATIENCE)
    assert any_service.in_use("p") == []

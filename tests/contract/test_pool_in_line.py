"""Pools in the line of our service, in real time: their place, their requests, their leaving."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from appid_manager_client import AppIdClient, LeasePool, PoolClosed, PoolTimeout
from appid_manager_client.testing import LocalService
from tests.support.ours import OurService
from tests.support.waiting import PATIENCE, wait_until

HOUR = 5
BEFORE = 2.0
"""Seconds before the turn at which a test begins: a moment before those who wait check in."""


@pytest.fixture
def service() -> Iterator[OurService]:
    """The product "p" has two AppIDs."""
    with OurService(hour_seconds=HOUR) as running:
        running.init("p", {"a": 1, "b": 2})
        yield running


@pytest.fixture
def client(service: OurService) -> Iterator[AppIdClient]:
    with AppIdClient(service.url, auth_token=service.auth_token) as made:
        yield made


def line(service: OurService) -> list[int]:
    return [waiter["place"] for waiter in service.local.line("p")]


def use_all(client: AppIdClient, service: OurService) -> None:
    """Use both AppIDs, just before the turn."""
    service.local.advance_to_next_hour(-BEFORE)
    with client.lease("p"), client.lease("p"):
        pass


def lease_starts(pool: LeasePool, **options: float) -> int:
    with pool.lease(**options) as lease:
        return lease.start_time


def test_callers_of_an_exhausted_pool_are_served_in_their_turn(service, client):
    use_all(client, service)
    order = []

    def by_lease(name: str) -> None:
        with client.lease("p"):
            order.append(name)

    def by_pool(pool: LeasePool, name: str) -> None:
        with pool.lease(timeout=PATIENCE):
            order.append(name)

    with ThreadPoolExecutor(3) as threads, client.pool("p", max_size=1) as pool:
        first = threads.submit(by_lease, "first")
        wait_until(lambda: len(line(service)) == 1, what="the first one stands in line")
        second = threads.submit(by_pool, pool, "second")
        wait_until(lambda: len(line(service)) == 2, what="the pool stands behind it")
        third = threads.submit(by_lease, "third")
        wait_until(lambda: len(line(service)) == 3, what="the third one stands behind the pool")
        turn = service.local.hour.end
        asked = len(service.calls_of("acquire"))
        for one in (first, second, third):
            one.result(3 * HOUR)
        grants = sorted(lease["starttime"] for lease in service.local.history())[2:5]
        assert sorted(order[:2]) == ["first", "second"]
        assert [start // (HOUR * 1000) - turn // (HOUR * 1000) for start in grants] == [0, 0, 1]
        # Three are held over the first turn, and two over the second: the pool goes on.
        assert len(service.calls_of("acquire")) - asked <= 6


def test_a_pool_is_held_over_the_turn_for_what_it_had_in_use(service, client):
    service.local.advance_to_next_hour(-BEFORE)
    with client.pool("p", max_size=2) as pool:
        with pool.lease(), pool.lease():
            pass
        turn = service.local.hour.end
        asked = len(service.calls_of("acquire"))
        wait_until(lambda: pool.get_stats().renewals == 2, what="all are renewed")
        calls = service.calls_of("acquire")[asked:]
        assert len(calls) == 4, "two tickets, and two requests that are held"
        assert all(call.time < turn / 1000 for call in calls)
        starts = [lease["starttime"] - turn for lease in service.local.history()]
        assert all(0 <= start < 500 for start in sorted(starts)[2:])
        assert pool.get_stats().burned == 0


def test_what_a_pool_gives_back_at_the_turn_goes_to_those_who_wait(service, client):
    service.local.advance_to_next_hour(-BEFORE)
    with ThreadPoolExecutor(2) as threads, client.pool("p", max_size=2) as pool:
        with pool.lease(), pool.lease():
            waiting = [threads.submit(lambda: client.lease("p").acquire()) for _ in range(2)]
            wait_until(lambda: len(line(service)) == 2, what="they stand in line")
        turn = service.local.hour.end
        leases = [one.result(HOUR) for one in waiting]
        assert all(turn <= lease.start_time < turn + 500 for lease in leases)
        assert pool.get_stats().renewals == 0
        for lease in leases:
            lease.release()


def test_a_renewal_in_a_pool_takes_its_place_before_the_turn(service, client):
    service.local.advance_to_next_hour(-BEFORE)
    with client.pool("p", max_size=1) as pool, pool.lease() as lease:
        turn = service.local.hour.end
        assert lease.renew(timeout=HOUR)
        assert turn <= lease.start_time < turn + 500


def test_a_pool_leaves_the_line_when_nobody_waits_any_more(service, client):
    service.local.advance_to_next_hour(-BEFORE)
    with client.lease("p"), client.lease("p"), client.pool("p", max_size=1) as pool:
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(lease_starts, pool, timeout=BEFORE + 1)
            wait_until(lambda: len(line(service)) == 1, what="the pool stands in line")
            with pytest.raises(PoolTimeout):
                waiting.result(PATIENCE)
        wait_until(lambda: line(service) == [], what="it has left")
        assert pool.get_stats().errors == 0


def test_a_pool_that_is_closed_while_it_is_held_leaves_at_once(service, client):
    use_all(client, service)
    pool = client.pool("p", max_size=1)

    def wait() -> None:
        with pytest.raises(PoolClosed):
            pool.lease(timeout=PATIENCE).acquire()

    waiting = threading.Thread(target=wait)
    waiting.start()
    asked = len(service.calls_of("acquire"))
    wait_until(lambda: len(service.calls_of("acquire")) >= asked + 3, what="it is held")
    pool.close()
    assert line(service) == []
    assert service.local.hour.end > service.local.now_ms, "it was not answered by the turn"
    waiting.join(PATIENCE)


def test_callers_of_a_large_pool_are_all_held(service, client):
    service.init("p", {f"a{number}": number for number in range(20)})
    service.local.advance_to_next_hour(-BEFORE)
    with client.pool("p", max_size=20) as pool:
        leases = [pool.lease() for _ in range(20)]
        for lease in leases:
            lease.acquire()
        for lease in leases:
            lease.release()
        turn = service.local.hour.end
        wait_until(lambda: pool.get_stats().renewals == 20, what="all are renewed")
        starts = sorted(lease["starttime"] - turn for lease in service.local.history())[20:]
        assert 0 <= starts[0] and starts[-1] < 500


def test_what_is_in_use_over_the_turn_takes_its_room_in_the_pool(service, client):
    service.init("p", {f"a{number}": number for number in range(4)})
    service.local.advance_to_next_hour(-BEFORE)
    with client.pool("p", max_size=2) as pool:
        with pool.lease():
            with pool.lease():
                pass
            turn = service.local.hour.end
            wait_until(lambda: pool.get_stats().renewals == 1, what="the idle one is renewed")
            assert service.local.now_ms < turn + 1000
            assert pool.get_stats().size == 2
            assert len(service.local.history()) == 3
        wait_until(lambda: pool.get_stats().renewals == 2, what="the other one is, too")
        assert line(service) == []


def test_a_restart_of_the_service_near_the_turn_costs_a_pool_nothing() -> None:
    with LocalService(hour_seconds=HOUR) as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a": 1, "b": 2})
        service.advance_to_next_hour(-BEFORE)
        with client.lease("p"), client.lease("p"):
            pass
        # No AppID serves two callers: each of them waits for its own.
        with ThreadPoolExecutor(2) as threads, client.pool("p", max_size=2, max_uses=1) as pool:
            waiting = [threads.submit(lease_starts, pool, timeout=PATIENCE) for _ in range(2)]
            turn = service.hour.end
            wait_until(lambda: len(service.line("p")) == 2, what="both stand in line")
            wait_until(lambda: turn - service.now_ms < 300, what="both are held")
            service.restart()
            starts = [one.result(PATIENCE) - turn for one in waiting]
            assert all(0 <= start < 1000 for start in starts)

"""The pool with its threads, against both services: blocks, waiting, coroutines, the end, fork, what is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appid_manager_client import (
    AppIdClient,
    AuthenticationError,
    LeaseLost,
    LeasePool,
    PoolStats,
    PoolClosed,
    PoolTimeout,
    ProductNotFound,
)
from appid_manager_client.errors import LeaseNotHeld
from appid_manager_client.pool_lease import PooledLease
from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.interrupts import Interrupt, Interrupter
from tests.support.ours import OurService
from tests.support.waiting import PATIENCE, wait_until

Service = FieldService | OurService
PRODUCT = "stt_billing"


@pytest.fixture
def service(any_service: Service) -> Service:
    any_service.init(PRODUCT, {f"a{number}": number for number in range(8)})
    return any_service


@pytest.fixture
def client(service: Service) -> Iterator[AppIdClient]:
    with AppIdClient(service.url, auth_token=service.auth_token, journal=False) as client:
        yield client


def in_thread(work: Any) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def maintenance_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"appid-pool {PRODUCT}"]


def pool_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("appid-pool")]


def test_a_block_has_an_appid_that_looks_like_a_lease(
    service: Service, client: AppIdClient
) -> None:
    with client.pool(PRODUCT) as pool:
        with pool.lease(min_remaining=60) as lease:
            assert lease.appid in service.in_use(PRODUCT)
            assert lease.vid == int(lease.appid[1:])
            assert lease.product_name == PRODUCT
            assert lease.start_time == service.grants[-1].starttime
            assert lease.hour_end == service.hour_end()
            assert 60 < lease.remaining <= 3600
            assert lease.held and not lease.released and not lease.lost
            lease.check()
        assert lease.released and not lease.held
        assert lease.appid in service.in_use(PRODUCT), "the pool keeps it for the next"
        with pytest.raises(LeaseLost, match="given back"):
            lease.check()
    assert service.in_use(PRODUCT) == []


def test_a_lease_that_was_not_entered_holds_nothing(client: AppIdClient) -> None:
    with client.pool(PRODUCT) as pool:
        lease = pool.lease()
        assert not lease.held and not lease.release()
        with pytest.raises(LeaseNotHeld):
            assert lease.appid


def test_the_body_s_own_exception_comes_through(client: AppIdClient) -> None:
    with client.pool(PRODUCT) as pool:
        with pytest.raises(KeyError, match="mine"), pool.lease():
            raise KeyError("mine")


def test_a_release_by_hand_counts_once(client: AppIdClient) -> None:
    with client.pool(PRODUCT) as pool:
        with pool.lease() as lease:
            assert lease.release()
            assert not lease.release()
        assert pool.get_stats().idle == 1


def test_eight_threads_share_two_appids_and_nobody_meets(
    service: Service, client: AppIdClient
) -> None:
    holding: set[str] = set()
    met: list[str] = []

    def work() -> None:
        for _ in range(50):
            with pool.lease(timeout=PATIENCE) as lease:
                if lease.appid in holding:
                    met.append(lease.appid)
                holding.add(lease.appid)
                holding.discard(lease.appid)

    with client.pool(PRODUCT, max_size=2) as pool:
        threads = [in_thread(work) for _ in range(8)]
        for thread in threads:
            thread.join(PATIENCE)
        assert not met
        assert pool.get_stats().checkouts == 400
        assert len(service.grants) <= 2


def test_a_waiter_gets_what_is_returned(client: AppIdClient) -> None:
    got: list[str] = []

    def work() -> None:
        with pool.lease(timeout=PATIENCE) as lease:
            got.append(lease.appid)

    with client.pool(PRODUCT, max_size=1) as pool:
        with pool.lease() as first:
            thread = in_thread(work)
            wait_until(lambda: pool.get_stats().waiting == 1)
        thread.join(PATIENCE)
        assert got == [first.appid]
        assert pool.get_stats().wait_seconds > 0


def test_a_wait_that_is_over_raises_pool_timeout(client: AppIdClient) -> None:
    with client.pool(PRODUCT, max_size=1) as pool, pool.lease():
        with pytest.raises(PoolTimeout, match="1 of at most 1 are checked out") as caught:
            pool.lease(timeout=0.05).acquire()
        assert caught.value.product_name == PRODUCT
        assert caught.value.waited >= 0.05
        assert isinstance(caught.value, TimeoutError)
        assert pool.get_stats().timeouts == 1
        assert pool.get_stats().waiting == 0


def test_an_unknown_product_is_told_at_once(client: AppIdClient) -> None:
    with client.pool("no_such_product") as pool:
        for _ in range(2):
            with pytest.raises(ProductNotFound):
                pool.lease(timeout=PATIENCE).acquire()


def test_a_wrong_token_is_told_at_once_and_shown_nowhere(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with AppIdClient(service.url, auth_token="not-the-token-8f2a", journal=False) as client:
        with client.pool(PRODUCT) as pool:
            with pytest.raises(AuthenticationError) as caught:
                pool.lease(timeout=PATIENCE).acquire()
            shown = f"{caught.value!r} {pool!r} {pool.get_stats()!r} {caplog.text}"
            assert "not-the-token-8f2a" not in shown


def test_a_service_that_comes_back_serves_the_waiter(service: Service, client: AppIdClient) -> None:
    with client.pool(PRODUCT) as pool:
        with service.refusing():
            thread = in_thread(lambda: pool.lease(timeout=PATIENCE).acquire().release())
            wait_until(lambda: pool.get_stats().errors)
            assert pool.get_stats().last_error
        thread.join(PATIENCE)
        assert pool.get_stats().checkouts == 1
        assert pool.get_stats().last_error is None


def test_an_outage_and_its_end_are_in_the_log_once_each(
    service: Service, client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "appid_manager_client")
    with client.pool(PRODUCT) as pool:
        with service.refusing():
            thread = in_thread(lambda: pool.lease(timeout=PATIENCE).acquire().release())
            wait_until(lambda: pool.get_stats().errors >= 2)
        thread.join(PATIENCE)
    assert caplog.text.count("can't get an AppID") == 1
    assert caplog.text.count("has an answer again") == 1


def test_the_last_appid_of_the_hour_is_in_the_log_once(
    service: Service, client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "appid_manager_client")
    with client.pool(PRODUCT, max_size=9, max_uses=1) as pool:
        for _ in range(8):
            with pool.lease():
                pass
        for _ in range(2):
            with pytest.raises(PoolTimeout):
                pool.lease(timeout=0.1).acquire()
        wait_until(lambda: pool.get_stats().exhausted)
        wait_until(lambda: "can get no more before" in caplog.text)
    assert caplog.text.count("can get no more before") == 1


def test_an_interrupted_wait_keeps_nothing_and_gets_nothing_later(client: AppIdClient) -> None:
    with client.pool(PRODUCT, max_size=1) as pool, Interrupter() as interrupter:
        with pool.lease():
            interrupter.strike_after(lambda: wait_until(lambda: pool.get_stats().waiting == 1))
            with pytest.raises(Interrupt), pool.lease(timeout=PATIENCE):
                pass
            assert pool.get_stats().waiting == 0
        assert pool.get_stats().idle == 1


def test_an_interrupt_of_who_was_just_served_gives_it_back(client: AppIdClient) -> None:
    with client.pool(PRODUCT, max_size=1) as pool, Interrupter() as interrupter:
        for _ in range(10):
            holder = pool.lease().acquire()

            def serve(holder: PooledLease = holder) -> None:
                wait_until(lambda: pool.get_stats().waiting == 1)
                holder.release()

            interrupter.strike_after(serve)
            with pytest.raises(Interrupt), pool.lease(timeout=PATIENCE):
                interrupter.wait()
            assert pool.get_stats().checked_out == 0


# --- jobs of several hours


@pytest.fixture
def late(service: Service) -> Service:
    """The service, with three seconds left of its hour."""
    service.advance(service.hour_end() - service.now() - 3.0)
    return service


def test_a_renewed_lease_has_an_appid_of_the_next_hour(late: Service, client: AppIdClient) -> None:
    turn = late.hour_end()
    with client.pool(PRODUCT, renew_margin=0.2) as pool:
        with pool.lease() as lease:
            assert lease.start_time < turn * 1000
            assert lease.renew(within=60)
            assert lease.start_time >= turn * 1000
            assert lease.held and late.in_use(PRODUCT) == [lease.appid]
            assert not lease.renew(within=60), "a whole hour is left"
        assert pool.get_stats().burned == 0


def test_a_coroutine_renews_its_lease(late: Service, client: AppIdClient) -> None:
    async def main() -> None:
        async with client.pool(PRODUCT, renew_margin=0.2) as pool, pool.lease() as lease:
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


# --- coroutines


def test_a_coroutine_s_block_has_an_appid(service: Service, client: AppIdClient) -> None:
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


def test_a_cancelled_wait_keeps_nothing(client: AppIdClient) -> None:
    async def main() -> None:
        async with pool.lease():
            task = asyncio.create_task(pool.lease().acquire_async())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert pool.get_stats().waiting == 0
        assert pool.get_stats().idle == 1

    with client.pool(PRODUCT, max_size=1) as pool:
        asyncio.run(main())


def test_a_task_that_is_cancelled_when_it_was_just_served_gives_it_back(
    client: AppIdClient,
) -> None:
    async def main() -> None:
        holder = pool.lease()
        await holder.acquire_async()
        task = asyncio.create_task(pool.lease().acquire_async())
        await asyncio.sleep(0)
        holder.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.get_stats().idle == 1

    with client.pool(PRODUCT, max_size=1) as pool:
        asyncio.run(main())


def test_what_comes_for_a_coroutine_of_a_closed_loop_is_not_lost(client: AppIdClient) -> None:
    async def wait_for_ever(lease: Any) -> None:
        await lease.acquire_async()

    with client.pool(PRODUCT, max_size=1) as pool:
        with pool.lease():
            lease = pool.lease()
            loop = asyncio.new_event_loop()
            task = loop.create_task(wait_for_ever(lease))
            loop.run_until_complete(asyncio.sleep(0))
            assert pool.get_stats().waiting == 1
            loop.close()
        wait_until(lambda: pool.get_stats().idle == 1)
        with contextlib.suppress(asyncio.CancelledError):
            task.get_coro().close()  # type: ignore[union-attr]
        task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_coroutine_s_wait_ends_in_time(client: AppIdClient) -> None:
    async def main() -> None:
        async with pool.lease():
            with pytest.raises(PoolTimeout):
                await pool.lease(timeout=0.05).acquire_async()

    with client.pool(PRODUCT, max_size=1) as pool:
        asyncio.run(main())


# --- the end


def test_close_gives_back_what_is_idle_and_ends_the_thread(
    service: Service, client: AppIdClient
) -> None:
    pool = client.pool(PRODUCT)
    with pool.lease():
        pass
    pool.close(timeout=PATIENCE)
    assert service.in_use(PRODUCT) == []
    wait_until(lambda: not pool_threads())
    stats = pool.get_stats()
    assert stats.closed and not stats.maintained and stats.size == 0
    with pytest.raises(PoolClosed):
        pool.lease().acquire()
    pool.close()


def test_what_is_out_is_given_back_when_it_returns_to_a_closed_pool(
    service: Service, client: AppIdClient
) -> None:
    pool = client.pool(PRODUCT)
    with pool.lease() as lease:
        pool.close(timeout=PATIENCE)
        lease.check()
        assert service.in_use(PRODUCT) == [lease.appid]
    wait_until(lambda: service.in_use(PRODUCT) == [])
    wait_until(lambda: not pool_threads())


def test_bringing_a_lease_back_to_a_closed_pool_waits_for_no_service(
    service: Service, client: AppIdClient
) -> None:
    pool = client.pool(PRODUCT)
    lease = pool.lease().acquire()
    pool.close(timeout=PATIENCE)
    with service.hold("release") as hold:
        assert lease.release()
        assert (
            pool.get_stats().giving_back == 1
        ), "the call waited until the service or its timeout let it go"
        hold.wait_reached()
    wait_until(lambda: service.in_use(PRODUCT) == [])
    wait_until(lambda: not pool_threads())


def test_close_wakes_who_waits(client: AppIdClient) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            pool.lease(timeout=PATIENCE).acquire()
        except PoolClosed as error:
            errors.append(error)

    pool = client.pool(PRODUCT, max_size=1)
    with pool.lease():
        thread = in_thread(work)
        wait_until(lambda: pool.get_stats().waiting == 1)
        pool.close(timeout=PATIENCE)
        thread.join(PATIENCE)
    assert len(errors) == 1


def test_close_is_bounded_when_the_service_says_nothing(
    service: Service, client: AppIdClient
) -> None:
    pool = client.pool(PRODUCT)
    with pool.lease():
        pass
    hold = service.hold("release")
    pool.close(timeout=0.2)
    hold.wait_reached()
    assert not maintenance_threads()
    hold.release()
    wait_until(lambda: service.in_use(PRODUCT) == [])
    wait_until(lambda: not pool_threads())


def test_a_closed_client_closes_its_pools(service: Service) -> None:
    client = AppIdClient(service.url, auth_token=service.auth_token, journal=False)
    pool = client.pool(PRODUCT)
    with pool.lease():
        pass
    client.close()
    assert pool.closed
    assert service.in_use(PRODUCT) == []
    with pytest.raises(PoolClosed):
        pool.lease().acquire()


# --- what is forgotten, what dies


def test_a_forgotten_lease_goes_back_to_the_service(service: Service, client: AppIdClient) -> None:
    with client.pool(PRODUCT) as pool:
        lease = pool.lease().acquire()
        appid = lease.appid
        with pytest.warns(ResourceWarning, match="forgotten while it held"):
            del lease
            gc.collect()
        wait_until(lambda: appid not in service.in_use(PRODUCT))
        wait_until(lambda: pool.get_stats().checked_out == 0)
        assert pool.get_stats().idle == 0
        with pool.lease() as lease:
            assert lease.appid != appid


def test_a_lease_of_a_closed_pool_that_is_forgotten_goes_back_too(
    service: Service, client: AppIdClient
) -> None:
    pool = client.pool(PRODUCT)
    lease = pool.lease().acquire()
    pool.close(timeout=PATIENCE)
    with pytest.warns(ResourceWarning, match="forgotten while it held"):
        del lease
        gc.collect()
    wait_until(lambda: service.in_use(PRODUCT) == [])


def test_a_forgotten_pool_gives_back_what_it_held_and_its_thread_ends(
    service: Service, client: AppIdClient
) -> None:
    pool = client.pool(PRODUCT)
    with pool.lease():
        pass
    with pytest.warns(ResourceWarning, match="close"):
        del pool
        gc.collect()
        wait_until(lambda: not maintenance_threads())
    wait_until(lambda: service.in_use(PRODUCT) == [])


def test_a_maintenance_thread_that_died_is_started_again(
    client: AppIdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client.pool(PRODUCT) as pool:
        with pool.lease():
            pass
        with monkeypatch.context() as patched:
            patched.setattr(threading, "excepthook", lambda args: None)
            patched.setattr(pool, "tend", lambda: (_ for _ in ()).throw(SystemExit))
            pool._maintenance.wake()
            wait_until(lambda: not pool.get_stats().maintained)
        with pool.lease():
            pass
        wait_until(lambda: pool.get_stats().maintained)


def test_who_begins_to_wait_for_a_full_pool_has_a_dead_maintenance_thread_started_again(
    client: AppIdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appid_manager_client.pool._LOOK_AGAIN", 3600.0)
    with client.pool(PRODUCT, max_size=1) as pool, pool.lease():
        with monkeypatch.context() as patched:
            patched.setattr(threading, "excepthook", lambda args: None)
            patched.setattr(pool, "tend", lambda: (_ for _ in ()).throw(SystemExit))
            pool._maintenance.wake()
            wait_until(lambda: not pool.get_stats().maintained)
        thread = in_thread(lambda: _ignore_closed(pool))
        wait_until(lambda: pool.get_stats().maintained, what="it waits, to look again in an hour")
        pool.close(PATIENCE)
        thread.join(PATIENCE)


def test_who_waits_has_a_maintenance_thread_that_died_started_again(
    client: AppIdClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("appid_manager_client.pool._LOOK_AGAIN", 0.1)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    died = threading.Event()

    def die() -> None:
        died.set()
        raise SystemExit(3)

    with client.pool(PRODUCT) as pool:
        tend = pool.tend
        monkeypatch.setattr(pool, "tend", die)
        thread = in_thread(lambda: pool.lease(timeout=PATIENCE).acquire().release())
        assert died.wait(PATIENCE)
        monkeypatch.setattr(pool, "tend", tend)
        thread.join(PATIENCE)
        assert pool.get_stats().checkouts == 1
    assert "ends, until it is needed again: SystemExit(3)" in caplog.text


def test_a_machine_without_a_thread_to_spare_serves_who_waits_when_it_has_one_again(
    client: AppIdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appid_manager_client.pool._LOOK_AGAIN", 0.1)
    start, refused = threading.Thread.start, threading.Event()

    def no_more(thread: threading.Thread) -> None:
        if thread.name.startswith("appid-pool") and not refused.is_set():
            refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_more)
    with client.pool(PRODUCT) as pool:
        with pool.lease(timeout=PATIENCE):
            assert refused.is_set()


def test_the_maintenance_survives_what_fails_in_it(
    client: AppIdClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with client.pool(PRODUCT) as pool:
        with monkeypatch.context() as patched:
            patched.setattr(pool, "tend", lambda: 1 / 0)
            thread = in_thread(lambda: pool.lease(timeout=PATIENCE).acquire().release())
            wait_until(lambda: "ZeroDivisionError" in caplog.text)
        thread.join(PATIENCE)
        assert pool.get_stats().checkouts == 1


def test_a_surprise_in_a_helper_reaches_the_waiter(
    client: AppIdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a session of the user's own")

    with client.pool(PRODUCT) as pool:
        monkeypatch.setattr(pool._keeper, "open", surprise)
        with pytest.raises(RuntimeError, match="a session of the user's own"):
            pool.lease(timeout=PATIENCE).acquire()
        monkeypatch.undo()
        with pool.lease():
            pass


def test_a_lost_lease_says_so_and_is_replaced(client: AppIdClient) -> None:
    with client.pool(PRODUCT) as pool:
        with pool.lease() as lease:
            pool._claim_lost(lease._held_slot.claim, "the test says so")
            assert lease.lost and not lease.held
            with pytest.raises(LeaseLost, match="the test says so"):
                lease.check()
            appid = lease.appid
        assert lease.lost
        with pool.lease() as lease:
            assert lease.appid != appid
        assert pool.get_stats().lost == 1


# --- fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_starts_with_an_empty_pool_and_leaves_the_parent_s_alone(
    service: Service, client: AppIdClient
) -> None:
    with client.pool(PRODUCT) as pool:
        with pool.lease() as lease:
            pid = os.fork()
            if pid == 0:
                os._exit(_child(pool, lease))
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            lease.check()
            assert lease.appid in service.in_use(PRODUCT)
        assert pool.get_stats().idle == 1
        assert len(service.in_use(PRODUCT)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_closed_pool_is_closed_in_a_forked_child_too(client: AppIdClient) -> None:
    pool = client.pool(PRODUCT)
    pool.close()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(PoolClosed):
            pool.lease(timeout=1).acquire()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _child(pool: LeasePool, parents: Any) -> int:
    try:
        assert pool.get_stats().size == 0
        assert not parents.held
        parents.release()
        with pool.lease(timeout=PATIENCE) as mine:
            assert mine.appid != parents.appid
        pool.close(timeout=PATIENCE)
    except BaseException:
        return 1
    return 0


# --- arguments and figures


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"min_size": -1}, ValueError, "min_size must be at least 0"),
        ({"max_size": 0}, ValueError, "max_size must be at least 1"),
        ({"max_size": 2.0}, TypeError, "max_size must be an int"),
        ({"max_size": True}, TypeError, "max_size must be an int"),
        ({"min_size": 5}, ValueError, "min_size must be at most max_size"),
        ({"max_uses": 0}, ValueError, "max_uses must be at least 1"),
        ({"renew_margin": -1}, ValueError, "renew_margin must be at least 0"),
        ({"renew_margin": "5"}, TypeError, "renew_margin must be a number"),
        ({"timeout": float("nan")}, ValueError, "timeout must be"),
        ({"on_error": "ignore"}, ValueError, "on_error must be 'release' or 'keep'"),
        ({"ttl": 0}, ValueError, "ttl must be between"),
        ({"holder": ""}, ValueError, "holder is required"),
    ],
)
def test_wrong_options_are_refused_by_name(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with AppIdClient("http://127.0.0.1:9") as client, pytest.raises(error, match=message):
        client.pool(PRODUCT, **options)


@pytest.mark.parametrize("product", ["", "  "])
def test_a_pool_needs_a_product(product: str) -> None:
    with AppIdClient("http://127.0.0.1:9") as client:
        with pytest.raises(ValueError, match="product_name is required"):
            client.pool(product)


@pytest.mark.parametrize("name", ["timeout", "min_remaining"])
def test_wrong_options_of_a_checkout_are_refused_by_name(name: str) -> None:
    with AppIdClient("http://127.0.0.1:9") as client, client.pool(PRODUCT) as pool:
        with pytest.raises(ValueError, match=f"{name} must be at least 0"):
            pool.lease(**{name: -1})
        with pytest.raises(ValueError, match="min_remaining must be less than an hour"):
            pool.lease(min_remaining=3600).acquire()


def test_the_figures_are_a_plain_dataclass(client: AppIdClient) -> None:
    with client.pool(PRODUCT) as pool:
        with pool.lease():
            figures = dataclasses.asdict(pool.get_stats())
    assert figures["size"] == figures["checked_out"] == figures["checkouts"] == 1
    assert figures["idle"] == figures["burned"] == figures["errors"] == 0
    assert 0 < figures["next_turn"] <= 3600
    assert "1 checked out" not in repr(pool) and "closed" in repr(pool)


def test_every_figure_is_explained_in_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "hour.md").read_text()
    table = page[page.index("## Figures") : page.index("## Long jobs")]
    figures = {field.name for field in dataclasses.fields(PoolStats)}
    assert {name for name in figures if f"`{name}`" not in table} == set()


def test_a_pool_is_not_pickled() -> None:
    with AppIdClient("http://127.0.0.1:9") as client, client.pool(PRODUCT) as pool:
        with pytest.raises(TypeError, match="make one in each process"):
            pickle.dumps(pool)


def test_an_acquire_on_its_way_when_the_pool_closes_is_given_back(
    service: Service, client: AppIdClient
) -> None:
    pool = client.pool(PRODUCT)
    with service.hold("acquire", "after") as hold:
        waiter = in_thread(lambda: _ignore_closed(pool))
        hold.wait_reached()
        pool.close(timeout=0.1)
    waiter.join(PATIENCE)
    wait_until(lambda: service.in_use(PRODUCT) == [])
    wait_until(lambda: not pool_threads())


def _ignore_closed(pool: LeasePool) -> None:
    with contextlib.suppress(PoolClosed):
        pool.lease(timeout=PATIENCE).acquire()


def test_a_lost_answer_on_ours_costs_no_second_appid() -> None:
    with OurService() as service:
        service.init(PRODUCT, {"a1": 1, "a2": 2})
        with AppIdClient(service.url, auth_token=service.auth_token, journal=False) as client:
            service.faults.queue("acquire", Fault.LOSE_ANSWER)
            with client.pool(PRODUCT) as pool, pool.lease(timeout=PATIENCE):
                assert len(service.grants) == 1

"""The end of a pool, of its leases and its threads; and forked children, where it begins anew."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from appid_manager_client import AppIdClient, LeaseLost, LeasePool, PoolClosed, PoolTimeout
from appid_manager_client.lease.keeper import LeaseKeeper
from appid_manager_client.pool.lease import PooledLease
from appid_manager_client.pool.lender import Lender
from tests.support.services import AnyService
from tests.support.waiting import PATIENCE, wait_until
from tests.unit.pool.threads import (
    PRODUCT,
    in_thread,
    maintenance_threads,
    pool_threads,
    use,
    wait_until_closed,
)


def test_close_gives_back_what_is_idle_and_ends_the_thread(
    service: AnyService, pool: LeasePool
) -> None:
    use(pool)
    pool.close(timeout=PATIENCE)
    assert service.in_use(PRODUCT) == []
    wait_until(lambda: not pool_threads())
    stats = pool.get_stats()
    assert stats.closed and not stats.maintained and stats.size == 0
    with pytest.raises(PoolClosed):
        pool.lease().acquire()
    pool.close()


def test_what_is_out_is_given_back_when_it_returns_to_a_closed_pool(
    service: AnyService, pool: LeasePool
) -> None:
    with pool.lease() as lease:
        pool.close(timeout=PATIENCE)
        lease.check()
        assert service.in_use(PRODUCT) == [lease.appid]
    wait_until(lambda: service.in_use(PRODUCT) == [])
    wait_until(lambda: not pool_threads())


def test_a_lease_of_a_client_that_was_closed_is_not_held(
    service: AnyService, client: AppIdClient
) -> None:
    lease = client.pool(PRODUCT).lease().acquire()
    client.close()
    assert service.in_use(PRODUCT) == []
    assert not lease.held and not lease.lost
    with pytest.raises(LeaseLost, match="not held any more: its client was closed"):
        lease.check()
    lease.release()
    with pytest.raises(LeaseLost, match="not held any more: it was given back"):
        lease.check()


def test_bringing_a_lease_back_to_a_closed_pool_waits_for_no_service(
    service: AnyService, pool: LeasePool
) -> None:
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


def test_close_wakes_who_waits(small_pool: LeasePool) -> None:
    with ThreadPoolExecutor(1) as thread, small_pool.lease():
        waiting = thread.submit(small_pool.lease(timeout=PATIENCE).acquire)
        wait_until(lambda: small_pool.get_stats().waiting == 1)
        small_pool.close(timeout=PATIENCE)
        with pytest.raises(PoolClosed):
            waiting.result(PATIENCE)


def test_close_is_bounded_when_the_service_says_nothing(
    service: AnyService, pool: LeasePool
) -> None:
    use(pool)
    hold = service.hold("release")
    pool.close(timeout=0.2)
    hold.wait_reached()
    assert not maintenance_threads()
    hold.release()
    wait_until(lambda: service.in_use(PRODUCT) == [])
    wait_until(lambda: not pool_threads())


def test_a_closed_client_closes_its_pools(service: AnyService) -> None:
    client = AppIdClient(service.url, auth_token=service.auth_token, journal=False)
    pool = client.pool(PRODUCT)
    use(pool)
    client.close()
    assert pool.closed
    assert service.in_use(PRODUCT) == []
    with pytest.raises(PoolClosed):
        pool.lease().acquire()


def test_an_acquire_on_its_way_when_the_pool_closes_is_given_back(
    service: AnyService, pool: LeasePool
) -> None:
    with service.hold("acquire", "after") as hold:
        waiter = in_thread(lambda: wait_until_closed(pool))
        hold.wait_reached()
        pool.close(timeout=0.1)
    waiter.join(PATIENCE)
    wait_until(lambda: service.in_use(PRODUCT) == [])
    wait_until(lambda: not pool_threads())


# --- what is forgotten, what dies


def test_a_forgotten_lease_goes_back_to_the_service(service: AnyService, pool: LeasePool) -> None:
    lease = pool.lease().acquire()
    appid = lease.appid
    with pytest.warns(ResourceWarning, match="garbage-collected while it held"):
        del lease
        gc.collect()
    wait_until(lambda: appid not in service.in_use(PRODUCT))
    wait_until(lambda: pool.get_stats().checked_out == 0)
    assert pool.get_stats().idle == 0
    with pool.lease() as lease:
        assert lease.appid != appid


def test_a_lease_of_a_closed_pool_that_is_forgotten_goes_back_too(
    service: AnyService, pool: LeasePool
) -> None:
    lease = pool.lease().acquire()
    pool.close(timeout=PATIENCE)
    with pytest.warns(ResourceWarning, match="garbage-collected while it held"):
        del lease
        gc.collect()
    wait_until(lambda: service.in_use(PRODUCT) == [])


def test_a_forgotten_pool_gives_back_what_it_held_and_its_thread_ends(
    service: AnyService, client: AppIdClient
) -> None:
    pool = client.pool(PRODUCT)
    use(pool)
    with pytest.warns(ResourceWarning, match="close"):
        del pool
        gc.collect()
        wait_until(lambda: not maintenance_threads())
    wait_until(lambda: service.in_use(PRODUCT) == [])


@contextlib.contextmanager
def every_round_ends_the_thread() -> Iterator[None]:
    def end(lender: Lender) -> None:
        raise SystemExit(3)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Lender, "run_once", end)
        yield


threads_end_silently = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)


@threads_end_silently
def test_a_maintenance_thread_that_died_is_started_again_by_the_next_checkout(
    pool: LeasePool,
) -> None:
    with pool.lease(), pool.lease():
        pass
    with every_round_ends_the_thread():
        with contextlib.suppress(KeyError), pool.lease():
            raise KeyError  # its AppID is to be released: that wakes the thread
        wait_until(lambda: not pool.get_stats().maintained)
    use(pool)
    wait_until(lambda: pool.get_stats().maintained)


@threads_end_silently
def test_who_begins_to_wait_for_a_full_pool_has_a_dead_maintenance_thread_started_again(
    small_pool: LeasePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appid_manager_client.pool.lender.LOOK_AGAIN", 3600.0)
    with small_pool.lease():
        with every_round_ends_the_thread():
            with pytest.raises(PoolTimeout):
                small_pool.lease(timeout=0.01, min_remaining=1).acquire()
            wait_until(lambda: not small_pool.get_stats().maintained)
        thread = in_thread(lambda: wait_until_closed(small_pool))
        wait_until(
            lambda: small_pool.get_stats().maintained, what="it waits, to look again in an hour"
        )
        small_pool.close(PATIENCE)
        thread.join(PATIENCE)


@threads_end_silently
def test_who_waits_has_a_maintenance_thread_that_died_started_again(
    client: AppIdClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("appid_manager_client.pool.lender.LOOK_AGAIN", 0.1)
    with client.pool(PRODUCT) as pool:
        with every_round_ends_the_thread():
            thread = in_thread(lambda: pool.lease(timeout=PATIENCE).acquire().release())
            wait_until(lambda: "SystemExit(3)" in caplog.text)
        thread.join(PATIENCE)
        assert pool.get_stats().checkouts == 1
    assert "ended: SystemExit(3); it starts again when needed" in caplog.text


def test_a_machine_without_a_thread_to_spare_serves_who_waits_when_it_has_one_again(
    pool: LeasePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appid_manager_client.pool.lender.LOOK_AGAIN", 0.1)
    start, refused = threading.Thread.start, threading.Event()

    def no_more(thread: threading.Thread) -> None:
        if thread.name.startswith("appid-pool") and not refused.is_set():
            refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_more)
    with pool.lease(timeout=PATIENCE):
        assert refused.is_set()


def test_the_maintenance_survives_what_fails_in_it(
    pool: LeasePool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Lender, "run_once", lambda lender: 1 / 0)
        thread = in_thread(lambda: pool.lease(timeout=PATIENCE).acquire().release())
        wait_until(lambda: "ZeroDivisionError" in caplog.text)
    thread.join(PATIENCE)
    assert pool.get_stats().checkouts == 1


def test_a_surprise_in_a_helper_reaches_the_waiter(
    pool: LeasePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a session of the user's own")

    monkeypatch.setattr(LeaseKeeper, "open", surprise)
    with pytest.raises(RuntimeError, match="a session of the user's own"):
        pool.lease(timeout=PATIENCE).acquire()
    monkeypatch.undo()
    use(pool)


def lose(lease: PooledLease, reason: str) -> None:
    """Do what the keeper does when it hears that the lease was lost."""
    assert lease.slot is not None
    claim = lease.slot.claim
    assert claim.on_lost is not None
    on_lost = claim.on_lost()
    assert on_lost is not None
    on_lost(claim, reason)


def test_a_lost_lease_says_so_and_is_replaced(pool: LeasePool) -> None:
    with pool.lease() as lease:
        lose(lease, "the test says so")
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
    service: AnyService, pool: LeasePool
) -> None:
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
def test_a_closed_pool_is_closed_in_a_forked_child_too(pool: LeasePool) -> None:
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

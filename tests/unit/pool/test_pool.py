"""A pool with its threads, at both services: blocks, waiting, failures, arguments, figures."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from appid_manager_client import (
    AppIdClient,
    AuthenticationError,
    LeaseLost,
    LeasePool,
    PoolStats,
    PoolTimeout,
    ProductNotFound,
)
from appid_manager_client.errors import LeaseNotHeld
from appid_manager_client.pool.lease import PooledLease
from tests.support.interrupts import Interrupt, Interrupter
from tests.support.services import AnyService
from tests.support.waiting import PATIENCE, wait_until
from tests.unit.pool.threads import PRODUCT, in_thread, use


def test_a_block_has_an_appid_that_looks_like_a_lease(
    service: AnyService, client: AppIdClient
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


def test_a_lease_that_was_not_entered_holds_nothing(pool: LeasePool) -> None:
    lease = pool.lease()
    assert not lease.held and not lease.release()
    with pytest.raises(LeaseNotHeld):
        assert lease.appid


def test_the_body_s_own_exception_comes_through(pool: LeasePool) -> None:
    with pytest.raises(KeyError, match="mine"), pool.lease():
        raise KeyError("mine")


def test_a_release_by_hand_counts_once(pool: LeasePool) -> None:
    with pool.lease() as lease:
        assert lease.release()
        assert not lease.release()
    assert pool.get_stats().idle == 1


def test_eight_threads_share_two_appids_and_nobody_meets(
    service: AnyService, client: AppIdClient
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


def test_a_waiter_gets_what_is_returned(small_pool: LeasePool) -> None:
    got: list[str] = []

    def work() -> None:
        with small_pool.lease(timeout=PATIENCE) as lease:
            got.append(lease.appid)

    with small_pool.lease() as first:
        thread = in_thread(work)
        wait_until(lambda: small_pool.get_stats().waiting == 1)
    thread.join(PATIENCE)
    assert got == [first.appid]
    assert small_pool.get_stats().wait_seconds > 0


def test_a_wait_that_is_over_raises_pool_timeout(small_pool: LeasePool) -> None:
    with small_pool.lease():
        with pytest.raises(PoolTimeout, match="1 of at most 1 are checked out") as caught:
            small_pool.lease(timeout=0.05).acquire()
        assert caught.value.product_name == PRODUCT
        assert caught.value.waited >= 0.05
        assert isinstance(caught.value, TimeoutError)
        assert small_pool.get_stats().timeouts == 1
        assert small_pool.get_stats().waiting == 0


def test_an_unknown_product_is_an_error_at_once(client: AppIdClient) -> None:
    with client.pool("no_such_product") as pool:
        for _ in range(2):
            with pytest.raises(ProductNotFound):
                pool.lease(timeout=PATIENCE).acquire()


def test_a_wrong_token_is_an_error_at_once_and_shown_nowhere(
    service: AnyService, caplog: pytest.LogCaptureFixture
) -> None:
    with AppIdClient(service.url, auth_token="not-the-token-8f2a", journal=False) as client:
        with client.pool(PRODUCT) as pool:
            with pytest.raises(AuthenticationError) as caught:
                pool.lease(timeout=PATIENCE).acquire()
            shown = f"{caught.value!r} {pool!r} {pool.get_stats()!r} {caplog.text}"
            assert "not-the-token-8f2a" not in shown


def test_a_service_that_comes_back_serves_the_waiter(service: AnyService, pool: LeasePool) -> None:
    with service.refusing():
        thread = in_thread(lambda: pool.lease(timeout=PATIENCE).acquire().release())
        wait_until(lambda: pool.get_stats().errors)
        assert pool.get_stats().last_error
    thread.join(PATIENCE)
    assert pool.get_stats().checkouts == 1
    assert pool.get_stats().last_error is None


def test_an_outage_and_its_end_are_in_the_log_once_each(
    service: AnyService, client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "appid_manager_client")
    with client.pool(PRODUCT) as pool:
        with service.refusing():
            thread = in_thread(lambda: pool.lease(timeout=PATIENCE).acquire().release())
            wait_until(lambda: pool.get_stats().errors >= 2)
        thread.join(PATIENCE)
    assert caplog.text.count("can't get an AppID") == 1
    assert caplog.text.count("the service answers the pool") == 1


def test_the_last_appid_of_the_hour_is_in_the_log_once(
    client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "appid_manager_client")
    with client.pool(PRODUCT, max_size=9, max_uses=1) as pool:
        for _ in range(8):
            use(pool)
        for _ in range(2):
            with pytest.raises(PoolTimeout):
                pool.lease(timeout=0.1).acquire()
        wait_until(lambda: pool.get_stats().exhausted)
        wait_until(lambda: "can't get another AppID before" in caplog.text)
    assert caplog.text.count("can't get another AppID before") == 1


def test_an_interrupted_wait_keeps_nothing_and_gets_nothing_later(small_pool: LeasePool) -> None:
    with Interrupter() as interrupter:
        with small_pool.lease():
            interrupter.strike_after(
                lambda: wait_until(lambda: small_pool.get_stats().waiting == 1)
            )
            with pytest.raises(Interrupt), small_pool.lease(timeout=PATIENCE):
                pass
            assert small_pool.get_stats().waiting == 0
        assert small_pool.get_stats().idle == 1


def test_an_interrupt_of_who_was_just_served_gives_it_back(small_pool: LeasePool) -> None:
    with Interrupter() as interrupter:
        for _ in range(10):
            holder = small_pool.lease().acquire()

            def serve(holder: PooledLease = holder) -> None:
                wait_until(lambda: small_pool.get_stats().waiting == 1)
                holder.release()

            interrupter.strike_after(serve)
            with pytest.raises(Interrupt), small_pool.lease(timeout=PATIENCE):
                interrupter.wait()
            assert small_pool.get_stats().checked_out == 0


# --- arguments and figures


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"product_name": ""}, ValueError, "product_name is required"),
        ({"product_name": "  "}, ValueError, "product_name is required"),
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
        client.pool(**{"product_name": PRODUCT, **options})


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

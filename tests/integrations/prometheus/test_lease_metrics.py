"""`LeaseMetrics`: figures of real leases and pools, as a scrape reads them."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from appid_manager_client import AppIdClient, LeaseLost, NoAppIdAvailable, PoolTimeout
from appid_manager_client.integrations.prometheus import LeaseMetrics
from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

Figures = dict[tuple[str, ...], float]


class Scraped:
    """What a registry says, by name and labels."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = LeaseMetrics(self.registry)

    def __call__(self, name: str, **labels: str) -> float | None:
        for family in text_string_to_metric_families(generate_latest(self.registry).decode()):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()


@pytest.fixture
def service() -> Iterator[LocalService]:
    with LocalService() as running:
        yield running


@pytest.fixture
def client(service: LocalService, scraped: Scraped) -> Iterator[AppIdClient]:
    with AppIdClient(service.url, on_event=scraped.metrics.observe) as made:
        made.init_product("stt", {"a": 1, "b": 2})
        yield made


def test_leases_are_counted_with_their_waits_and_uses(
    client: AppIdClient, scraped: Scraped
) -> None:
    with client.lease("stt"):
        assert scraped("appid_lease_wait_seconds_count", product="stt") == 1
    assert scraped("appid_lease_use_seconds_count", product="stt") == 1
    with client.lease("stt"), pytest.raises(NoAppIdAvailable):
        client.acquire_appid("stt", timeout=0)
    assert scraped("appid_lease_events_total", product="stt", kind="exhausted") == 1


def test_a_lease_that_is_lost_is_counted(client: AppIdClient, scraped: Scraped) -> None:
    with client.lease("stt", ttl=1.5) as lease:
        client.force_release("a", "stt", "stuck")
        wait_until(lambda: lease.lost, what="the lease is lost")
        with pytest.raises(LeaseLost):
            lease.check()
    assert scraped("appid_lease_events_total", product="stt", kind="lost") == 1


def test_a_pool_shows_what_it_holds_and_who_waits(client: AppIdClient, scraped: Scraped) -> None:
    with client.pool("stt", max_size=2) as pool:
        scraped.metrics.watch(pool)
        scraped.metrics.watch(pool)
        with pool.lease():
            assert scraped("appid_pool_leases", product="stt", state="checked_out") == 1
            with pool.lease(), pytest.raises(PoolTimeout):
                pool.lease(timeout=0.05).acquire()
        assert scraped("appid_pool_leases", product="stt", state="idle") == 2
        assert scraped("appid_pool_pending", product="stt") == 0
        assert scraped("appid_pool_timeouts_total", product="stt") == 1
        assert scraped("appid_pool_wait_seconds_count", product="stt") == 2
        assert scraped("appid_pool_acquired_total", product="stt") == 2


def test_pools_of_one_product_are_added_up_and_counts_never_go_back(
    client: AppIdClient, scraped: Scraped
) -> None:
    pools = [client.pool("stt", max_size=1) for _ in range(2)]
    for pool in pools:
        scraped.metrics.watch(pool)
        with pool.lease():
            pass
    del pool
    assert scraped("appid_pool_wait_seconds_count", product="stt") == 2
    assert scraped("appid_pool_leases", product="stt", state="idle") == 2
    pools.pop().close()
    gc.collect()
    assert scraped("appid_pool_wait_seconds_count", product="stt") == 2
    pools.pop().close()
    gc.collect()
    assert scraped("appid_pool_wait_seconds_count", product="stt") == 2
    assert scraped("appid_pool_leases", product="stt", state="idle") is None


def test_a_product_s_name_is_shown_escaped(service: LocalService, scraped: Scraped) -> None:
    name = 'evil"\n\u202e{x="y"}'
    with AppIdClient(service.url, on_event=scraped.metrics.observe) as client:
        client.init_product(name, {"c": 1})
        with client.lease(name):
            pass
    shown = 'evil"\\n\\u202e{x="y"}'
    assert scraped("appid_lease_use_seconds_count", product=shown) == 1


def test_a_registry_has_them_once(scraped: Scraped) -> None:
    with pytest.raises(ValueError, match="Duplicated"):
        LeaseMetrics(scraped.registry)

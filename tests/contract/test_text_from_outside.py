"""Names with newlines and control characters: no log line and no message acts on a terminal."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient, AppIdManagerError
from tests.support.services import AnyService, client_of
from tests.support.waiting import wait_until

EVIL = "p\n2026-01-01 ERROR forged\r\x1b[2J\x9b31m\u202e\u2028x"
APPIDS = {f"a{number}{EVIL}": f"{number}{EVIL}" for number in range(4)}


@pytest.fixture
def client(any_service: AnyService, tmp_path: Path) -> Iterator[AppIdClient]:
    any_service.init(EVIL, APPIDS)
    with client_of(any_service, journal=tmp_path / f"journal{EVIL}") as client:
        yield client


@pytest.fixture(autouse=True)
def all_printable(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Every line that the client logs while a test runs, at any level."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in [*caplog.get_records("call"), *caplog.records]:
        if not record.name.startswith("appid_manager_client"):
            continue
        assert record.getMessage().isprintable(), ascii(record.getMessage())
        assert record.threadName is not None and record.threadName.isprintable()


def refused(call: Callable[[], object]) -> AppIdManagerError:
    with pytest.raises(AppIdManagerError) as caught:
        call()
    assert str(caught.value).isprintable(), ascii(str(caught.value))
    return caught.value


def test_a_lease_and_a_wait(client: AppIdClient) -> None:
    with client.lease(EVIL, holder=EVIL) as lease:
        assert repr(lease).isprintable()
        assert lease.appid in APPIDS
    refused(lambda: client.acquire_appid(f"no{EVIL}", timeout=0))
    refused(lambda: client.lease(f"no{EVIL}", timeout=0.2).acquire())
    refused(lambda: client.release_appid(f"no{EVIL}", EVIL))


def test_a_lost_lease(client: AppIdClient, any_service: AnyService) -> None:
    with client.lease(EVIL) as lease:
        any_service.init(EVIL, APPIDS)
    assert lease.lost or lease.released
    assert str(refused(lease.check)).isprintable()


def test_a_forgotten_lease(client: AppIdClient, any_service: AnyService) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client.lease(EVIL).acquire()
        gc.collect()
    assert [str(warning.message).isprintable() for warning in caught] == [True]
    wait_until(lambda: not any_service.in_use(EVIL))


def test_a_pool(client: AppIdClient) -> None:
    with client.pool(EVIL, max_size=1) as pool:
        with pool.lease() as lease:
            assert repr(pool).isprintable() and repr(lease).isprintable()
            refused(lambda: pool.lease(timeout=0.05).acquire())
        assert pool.get_stats().acquired == 1
    with client.pool(f"no{EVIL}") as pool:
        refused(lambda: pool.lease(timeout=0.5).acquire())


def test_an_init_that_fails(client: AppIdClient, any_service: AnyService) -> None:
    refused(lambda: client.init_product("other", APPIDS) and client.acquire_appid(EVIL, timeout=0))
    any_service.close()
    refused(lambda: client.acquire_appid(EVIL, 0))

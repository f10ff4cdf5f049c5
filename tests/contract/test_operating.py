"""`pause_product()` and `force_release()`: what operators do, and what it means for others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from appid_manager_client import (
    AppIdClient,
    InvalidRequest,
    LeaseLost,
    NoAppIdAvailable,
    TransportError,
)
from appid_manager_client.testing import LocalService
from tests.support.faults import Fault
from tests.support.ours import OurService
from tests.support.services import turned_client
from tests.support.waiting import PATIENCE, wait_until


def test_a_paused_product_is_told_by_the_error_of_who_waits() -> None:
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a": 1})
        client.pause_product("p", note="billing is wrong", by="Ann")
        with pytest.raises(NoAppIdAvailable, match="the product is paused"):
            client.acquire_appid("p", timeout=0)
        assert client.products()["products"][0]["paused"] is True
        client.pause_product("p", False)
        assert client.acquire_appid("p", timeout=0).appid == "a"


def test_who_waits_is_served_when_the_pause_ends() -> None:
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a": 1})
        client.pause_product("p")
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(client.acquire_appid, "p", retry_interval=0.2)
            wait_until(lambda: not waiting.done(), what="it waits")
            client.pause_product("p", False)
            assert waiting.result(PATIENCE).appid == "a"


def test_a_lease_that_is_released_by_force_is_lost() -> None:
    lost = threading.Event()
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a": 1})
        with client.lease("p", ttl=1.5, on_lost=lambda lease: lost.set()) as lease:
            client.force_release("a", "p", "its host is gone", by="Ann")
            assert lost.wait(PATIENCE)
            with pytest.raises(LeaseLost):
                lease.check()
        assert client.get_status("p")["appids"][0]["status"] == "used_in_current_hour"


def test_a_release_by_force_is_never_sent_twice() -> None:
    """Somebody else may have the AppID by the time of a second one."""
    with OurService() as service, turned_client(service) as client:
        service.init("p", {"a": 1})
        client.acquire_appid("p")
        service.faults.queue("release", Fault.LOSE_ANSWER)
        with pytest.raises(TransportError):
            client.force_release("a", "p", "stuck")
        with pytest.raises(InvalidRequest, match="already_released"):
            client.force_release("a", "p", "stuck")


@pytest.mark.parametrize(
    ("call", "arguments", "error", "names"),
    [
        ("pause_product", ("",), ValueError, "product_name"),
        ("pause_product", ("p", 1), TypeError, "paused must be a bool"),
        ("pause_product", ("p", True, "x" * 501), ValueError, "note"),
        ("force_release", ("", "p", "x"), ValueError, "appid"),
        ("force_release", ("a", "p", ""), ValueError, "note"),
        ("force_release", ("a", "p", "x" * 501), ValueError, "note"),
    ],
)
def test_wrong_arguments_of_operators_are_refused_before_anything_is_sent(
    call: str, arguments: tuple[Any, ...], error: type[Exception], names: str
) -> None:
    with AppIdClient("http://127.0.0.1:9") as client, pytest.raises(error, match=names):
        getattr(client, call)(*arguments)
    with AppIdClient("http://127.0.0.1:9") as client, pytest.raises(ValueError, match="by"):
        client.pause_product("p", by="x" * 201)

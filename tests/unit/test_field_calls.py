"""Code of the field's published client fails in one line that says what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from appid_manager_client import AppIdClient
from tests.support.field import FieldService
from tests.support.secrets import TOKEN, assert_hidden

URL = "http://127.0.0.1:9"
EACH_CALL = r"name the product in each call, as in client\.acquire_appid\('stt_billing'\)$"

# Any: the calls are wrong, and type checkers would say so.
Anything: Any = AppIdClient


@pytest.fixture
def client(field_service: FieldService) -> Iterator[Any]:
    with AppIdClient(field_service.url) as client:
        yield client
    assert field_service.calls == [], "nothing was sent"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            lambda: Anything(URL, TOKEN),
            "must be a number of seconds, and is the second argument.*pass a token as auth_token=$",
        ),
        (lambda: Anything(URL, TOKEN, "p"), f"auth_token=; .*no product_name: {EACH_CALL}"),
        (lambda: Anything(URL, TOKEN, "p", 5), f"auth_token=; .*no product_name: {EACH_CALL}"),
        (lambda: Anything(URL, TOKEN, product_name="p"), "auth_token=; .*no product_name"),
        (lambda: Anything(URL, TOKEN, timeout=5), "pass a token as auth_token=$"),
        (lambda: Anything(URL, None, "p"), f"no product_name: {EACH_CALL}"),
        (lambda: Anything(URL, auth_token=TOKEN, product_name="p"), f"no product_n.*: {EACH_CALL}"),
        (lambda: Anything(base_url=URL, product_name=None), "no product_name"),
        (lambda: Anything(URL, token=TOKEN), r"AppIdClient\(\) takes auth_token=, not token=$"),
        (lambda: Anything(url=URL), r"AppIdClient\(\) takes base_url=, not url=$"),
    ],
)
def test_a_client_of_the_field_is_not_made(written: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message) as raised:
        written()
    assert "\n" not in str(raised.value)
    assert_hidden(raised.value)


CALLS: list[tuple[Callable[[Any], object], str]] = [
    (lambda c: c.acquire_appid(), rf"acquire_appid\(\) needs product_name.*: {EACH_CALL}"),
    (lambda c: c.acquire_appid(product_name=None), f"needs product_name.*: {EACH_CALL}"),
    (lambda c: c.acquire_appid(max_retries=61), f"needs product_name.*: {EACH_CALL}"),
    (lambda c: c.acquire_appid("p", force_acquire=True), "takes force=, not force_acquire=$"),
    (lambda c: c.acquire_appid("p", 61, 60, True), "force= by keyword only, not as its fourth"),
    (lambda c: c.acquire_appid(force_acquire=True), "needs product_name.*; .*takes force="),
    (lambda c: c.acquire_appid(productName="p"), "takes product_name=, not productName=$"),
    (lambda c: c.release_appid("a1"), rf"release_appid\(\) needs product_name.*: {EACH_CALL}"),
    (lambda c: c.release_appid(appid="a1"), "needs product_name"),
    (lambda c: c.release_appid("a1", product_name=None), "needs product_name"),
    (lambda c: c.init_product(appIds={"a1": 1}), r"needs product_name.*takes appids=, not appIds="),
    (lambda c: c.init_product("p", appIds={"a1": 1}), "takes appids=, not appIds=$"),
    (lambda c: c.init_product(product_name="p", appIds={}), "takes appids=, not appIds=$"),
    (lambda c: c.init_product(), "needs product_name"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_a_call_of_the_field_is_not_made(
    client: Any, call: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(TypeError, match=message) as raised:
        call(client)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Anything(URL, 5, nothing=1),
        lambda: Anything(URL).acquire_appid("p", nothing=1),
        lambda: Anything(URL).release_appid(product_name="p"),
        lambda: Anything(URL).init_product("p"),
    ],
)
def test_what_the_field_has_neither_is_pythons_own_error(call: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword|missing 1 required positional"):
        call()


def test_signatures_are_as_documented() -> None:
    shown = inspect.signature(AppIdClient)
    assert [*shown.parameters][:3] == ["base_url", "timeout", "auth_token"]
    acquire = inspect.signature(AppIdClient.acquire_appid)
    assert [*acquire.parameters][:3] == ["self", "product_name", "max_retries"]


def test_a_subclass_may_keep_a_product() -> None:
    class Mine(AppIdClient):
        def __init__(self, base_url: str, auth_token: str, product_name: str) -> None:
            super().__init__(base_url, auth_token=auth_token)
            self.product_name = product_name

    client = Mine(URL, "secret", product_name="p")
    assert client.product_name == "p"
    client.close()

"""nginx and Caddy before a service: TLS, requests that are held, callers that go, large inits."""

from __future__ import annotations

import re
import socket
import ssl
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.proxies import DEPLOY, Proxy, running_proxy
from tests.support.waiting import PATIENCE, wait_until

LONGEST_HOLD = 20
"""Seconds for which the service holds a request of who waits in line (wire contract)."""

MARGIN = 10


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with LocalService() as running:
        yield running


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest,
    service: LocalService,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    with running_proxy(request.param, service.url, tmp_path_factory.mktemp("proxy")) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppIdClient]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", proxy.trusted)
    with AppIdClient(proxy.url) as made:
        yield made


@pytest.fixture
def product(client: AppIdClient) -> str:
    name = f"p-{uuid.uuid4().hex}"
    client.init_product(name, {f"{name}-1": 1})
    return name


def held(service: LocalService) -> int:
    text = requests.get(f"{service.url}/metrics", timeout=30).text
    found = re.search(r"^appid_held_requests (\d+)", text, re.M)
    assert found is not None
    return int(found.group(1))


def test_a_client_works_through_it(client: AppIdClient, product: str) -> None:
    assert client.health_check()
    with client.lease(product, ttl=1.5) as lease:
        assert lease.appid == f"{product}-1"
    assert not client.get_status(product)["appids"][0]["is_available"]


def test_who_waits_in_line_is_held_and_served_at_the_turn(
    service: LocalService, client: AppIdClient, product: str, proxy: Proxy
) -> None:
    client.release_appid(client.acquire_appid(product).appid, product)
    service.advance_to_next_hour(-10)
    body = {"productName": product, "requestId": str(uuid.uuid4()), "wait": LONGEST_HOLD}
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(
            requests.post,
            f"{proxy.url}/api/appid/acquire",
            json=body,
            verify=proxy.trusted,
            timeout=PATIENCE,
        )
        wait_until(lambda: held(service) == 1, what="the request is held")
        service.advance_to_next_hour()
        assert answer.result(PATIENCE).json()["appid"] == f"{product}-1"


def test_a_caller_that_goes_away_is_noticed(
    service: LocalService, client: AppIdClient, product: str, proxy: Proxy
) -> None:
    client.release_appid(client.acquire_appid(product).appid, product)
    body = f'{{"productName":"{product}","requestId":"{uuid.uuid4()}","wait":20}}'
    context = ssl.create_default_context(cafile=proxy.trusted)
    port = int(proxy.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as caller:
            head = f"POST /api/appid/acquire HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            caller.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            wait_until(lambda: held(service) == 1, what="the request is held")
    wait_until(lambda: held(service) == 0, what="the service knows that its caller is gone")


def test_a_large_init_passes(client: AppIdClient) -> None:
    name = uuid.uuid4().hex
    appids = {f"{name}-{number:06}-{'x' * 60}": number for number in range(20_000)}
    assert client.init_product(name, appids)


def test_a_form_of_the_page_is_one_of_its_own_origin(proxy: Proxy, product: str) -> None:
    for origin, status in ((proxy.url, 303), ("https://elsewhere.example", 403)):
        page = requests.get(
            f"{proxy.url}/confirm?act=pause&product={product}", verify=proxy.trusted, timeout=30
        ).text
        csrf = re.search(r'name="csrf" value="(\w+)"', page)
        assert csrf is not None
        answer = requests.post(
            f"{proxy.url}/act",
            data={"act": "resume", "product": product, "csrf": csrf.group(1)},
            headers={"Origin": origin},
            verify=proxy.trusted,
            allow_redirects=False,
            timeout=30,
        )
        assert answer.status_code == status


def test_both_wait_longer_than_a_request_is_held() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    caddy = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    for text, pattern in (
        (nginx, r"proxy_read_timeout (\d+)s;"),
        (caddy, r"response_header_timeout (\d+)s"),
    ):
        found = re.search(pattern, text)
        assert found is not None and int(found.group(1)) >= LONGEST_HOLD + MARGIN


def test_neither_sends_a_call_a_second_time() -> None:
    """An acquire that was received may have been carried out."""
    assert "proxy_next_upstream off;" in (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    assert "lb_retries 0" in (DEPLOY / "Caddyfile").read_text(encoding="utf-8")

"""The service behind TLS: whose certificate is trusted, and what a broken or missing TLS means."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.errors import AppIdManagerError, RequestTimeout, ServiceUnavailable
from tests.support.calls import CALLS
from tests.support.machine import TurnedSystem
from tests.support.rawserver import RawServer, Step, drip, http_answer, read_request, send
from tests.support.secrets import TOKEN, assert_hidden
from tests.support.tcp import Connection, PeerGone

CERTIFICATE = Path(__file__).parents[1] / "support" / "loopback.pem"
HEALTHY = http_answer(200, b'{"status": "healthy", "timestamp": 1700000000000}')


def tls() -> Step:
    """From here on the connection speaks TLS."""

    def step(connection: Connection) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        try:
            connection.socket = context.wrap_socket(connection.socket, server_side=True)
        except OSError as error:  # the client doesn't trust it
            raise PeerGone from error

    return step


def client_of(server: RawServer, timeout: float = 10, **options: Any) -> AppIdClient:
    url = server.url.replace("http:", "https:")
    return AppIdClient(url, timeout, auth_token=TOKEN, system=TurnedSystem(), **options)


def failure_of(client: AppIdClient, name: str = "init") -> AppIdManagerError:
    try:
        with pytest.raises(AppIdManagerError) as caught:
            CALLS[name](client)
    finally:
        client.close(0)
    assert_hidden(caught.value)
    return caught.value


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))


def test_a_certificate_that_the_environment_names_is_trusted(
    trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(tls(), read_request(), send(HEALTHY)) as server, client_of(server) as client:
        assert client.health_check()
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        server.wait_for_ends(1)
        assert client.health_check(), "the environment was looked up again"


@pytest.mark.parametrize("call", CALLS)
def test_a_certificate_that_nobody_trusts_is_met_once_and_gets_no_token(call: str) -> None:
    with RawServer(tls(), read_request()) as server:
        error = failure_of(client_of(server), call)
        assert server.connections == 1 and server.requests == []
    assert isinstance(error, ServiceUnavailable)
    assert (error.maybe_received, error.retryable) == (False, False)
    assert "no trusted TLS connection" in str(error) and "certificate" in str(error)


def test_a_server_that_speaks_no_tls_is_not_asked_again(trusted: None) -> None:
    with RawServer(send(HEALTHY)) as server:
        error = failure_of(client_of(server), "acquire")
        assert server.connections == 1
    assert isinstance(error, ServiceUnavailable) and not error.retryable


def test_a_bundle_that_is_not_there_is_told_and_nothing_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/certificates.pem")
    with RawServer(tls(), read_request()) as server:
        error = failure_of(client_of(server), "acquire")
        assert server.connections <= 1 and server.requests == []
    assert not getattr(error, "retryable", False)
    assert "REQUESTS_CA_BUNDLE" in str(error) or "no such file" in str(error)


def test_an_answer_over_tls_that_never_came_may_have_been_received(trusted: None) -> None:
    with RawServer(tls(), read_request()) as server:
        error = failure_of(client_of(server))
        assert len(server.requests) == 1, "an init was sent twice"
    assert isinstance(error, ServiceUnavailable) and error.maybe_received


def test_an_answer_over_tls_that_drips_is_not_read_for_ever(trusted: None) -> None:
    head = b"HTTP/1.1 200 OK\r\nX: "
    with RawServer(tls(), read_request(), send(head), drip(b"x" * 60_000, 0.02)) as server:
        error = failure_of(client_of(server, 0.5))
    assert isinstance(error, RequestTimeout) and error.maybe_received


def test_through_a_tunnel_the_token_is_for_the_service_alone(
    trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = b'{"total": 0, "available": 0, "in_use": 0, "released": 0, "appids": []}'
    established = send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    service = (tls(), read_request(), send(http_answer(200, status)))
    with RawServer(read_request(), established, *service) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = AppIdClient("https://service.invalid:5000", 10, auth_token=TOKEN)
        with client:
            assert client.get_status()["total"] == 0
        asked, request = proxy.requests
    assert asked.method == "CONNECT" and TOKEN.encode() not in asked.raw
    assert request.header("X-API-Key") == TOKEN

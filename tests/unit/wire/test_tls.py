"""The service behind TLS: whose certificate is trusted, and what a failure of TLS means."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.errors import RequestTimeout, ServiceUnavailable
from tests import support
from tests.support.calls import CALLS
from tests.support.rawserver import (
    RawServer,
    Step,
    drip,
    http_answer,
    read_request,
    reset,
    send,
)
from tests.support.secrets import TOKEN
from tests.support.tcp import Connection, PeerGone

from . import exchanges
from .exchanges import COUNTS, HEALTHY, UNKNOWN_HOST, asked, failure_of, json_answer

CERTIFICATE = Path(support.__file__).with_name("loopback.pem")


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


def client_of(server: RawServer, timeout: float = 10) -> AppIdClient:
    return exchanges.client_of(server.url.replace("http:", "https:"), timeout)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))


@pytest.mark.usefixtures("trusted")
def test_a_certificate_that_the_environment_names_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with RawServer(tls(), read_request(), HEALTHY) as server, client_of(server) as client:
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


@pytest.mark.usefixtures("trusted")
def test_a_server_that_speaks_no_tls_is_not_asked_again() -> None:
    with RawServer(HEALTHY) as server:
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


def hello(connection: Connection) -> None:
    """Read what a client says first. Only then a close is an end, and not a reset."""
    connection.socket.recv(65536)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("end", [(), (reset(),)], ids=["closed", "reset"])
def test_a_handshake_that_breaks_off_is_a_connection_error_and_done_again(
    end: tuple[Step, ...],
) -> None:
    scripts = [[hello, *end], [tls(), read_request(), json_answer(COUNTS)]]
    with RawServer(scripts=scripts) as server, client_of(server) as client:
        assert client.get_status() == COUNTS
        assert len(server.requests) == 1
    with RawServer(hello, *end) as server:
        error = failure_of(client_of(server), "status")
        assert server.connections == 4
    assert isinstance(error, ServiceUnavailable) and error.retryable


@pytest.mark.usefixtures("trusted")
def test_an_answer_over_tls_that_never_came_may_have_been_received() -> None:
    with RawServer(tls(), read_request()) as server:
        error = failure_of(client_of(server), "init")
        assert len(asked(server)) == 1, "an init was sent twice"
    assert isinstance(error, ServiceUnavailable) and error.maybe_received


@pytest.mark.usefixtures("trusted")
def test_an_answer_over_tls_that_drips_is_not_read_for_ever() -> None:
    head = b"HTTP/1.1 200 OK\r\nX: "
    with RawServer(tls(), read_request(), send(head), drip(b"x" * 60_000, 0.02)) as server:
        error = failure_of(client_of(server, 0.5), "init")
    assert isinstance(error, RequestTimeout) and error.maybe_received


@pytest.mark.usefixtures("trusted")
def test_through_a_tunnel_the_token_is_for_the_service_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = b'{"total": 0, "available": 0, "in_use": 0, "released": 0, "appids": []}'
    established = send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    service = (tls(), read_request(), send(http_answer(200, status)))
    with RawServer(read_request(), established, *service) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with exchanges.client_of(f"https://{UNKNOWN_HOST}") as client:
            assert client.get_status()["total"] == 0
        asked, request = proxy.requests
    assert asked.method == "CONNECT" and TOKEN.encode() not in asked.raw
    assert request.header("X-API-Key") == TOKEN

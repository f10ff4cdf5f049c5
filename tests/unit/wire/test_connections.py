"""How requests reach the service: connections that fail, that are reused, and sessions."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from appid_manager_client.errors import RequestTimeout, ServiceUnavailable
from tests.support.rawserver import RawServer, read_request, refused, unconnectable
from tests.support.secrets import TOKEN
from tests.support.tcp import Connection

from .exchanges import COUNTS, HEALTHY, QUICK, WAYS, client_of, failure_of, json_answer, via


def test_a_refused_connection_was_certainly_not_received() -> None:
    with refused() as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ServiceUnavailable) and isinstance(error, ConnectionError)
    assert not error.maybe_received and error.retryable
    assert "refused" in str(error) and url in str(error)


def test_a_host_that_has_no_address_is_said_to_have_none() -> None:
    error = failure_of(client_of("http://nowhere.invalid:5000"))
    assert isinstance(error, ServiceUnavailable) and not error.maybe_received
    assert "can't be resolved" in str(error)


def test_a_connection_that_is_never_accepted_times_out_unreceived() -> None:
    with unconnectable() as url:
        error = failure_of(client_of(url, QUICK))
    assert isinstance(error, RequestTimeout) and isinstance(error, TimeoutError)
    assert not error.maybe_received
    assert "no connection within 0.3 s" in str(error)


def test_one_connection_serves_many_calls() -> None:
    steps = [read_request(), HEALTHY] * 5
    with RawServer(*steps) as server, client_of(server.url) as client:
        for _ in range(5):
            assert client.health_check()
        assert server.connections == 1


def test_a_connection_that_the_service_closed_meanwhile_is_replaced() -> None:
    with RawServer(read_request(), HEALTHY) as server, client_of(server.url) as client:
        assert client.health_check()
        server.wait_for_ends(1)
        assert client.health_check()
        assert server.connections == 2


def test_a_session_of_the_user_s_is_made_once_and_sends_its_own_headers() -> None:
    made = []

    def factory() -> requests.Session:
        session = requests.Session()
        session.headers["X-Team"] = "billing"
        session.auth = ("user", "pass")
        made.append(session)
        return session

    with RawServer(read_request(), HEALTHY) as server:
        with client_of(server.url, session_factory=factory) as client:
            assert client.health_check()
            server.wait_for_ends(1)
            assert client.health_check()
        assert len(made) == 1
        assert {r.header("X-Team") for r in server.requests} == {"billing"}
        assert all((r.header("Authorization") or "").startswith("Basic ") for r in server.requests)


def test_a_forked_child_opens_connections_of_its_own() -> None:
    """With the socket of its parent, one of them would read the other's answer."""
    # As many steps as there are requests: a connection that is shared isn't closed by the server.
    with RawServer(*[read_request(), HEALTHY] * 3) as server, client_of(server.url) as client:
        assert client.health_check()
        pid = os.fork()
        if pid == 0:
            os._exit(0 if client.health_check() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert client.health_check()
        assert server.connections == 2
        assert len(server.requests) == 3


@pytest.mark.parametrize("way", WAYS)
def test_netrc_is_not_looked_up(way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password private\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with RawServer(read_request(), json_answer({"error": "unauthorized"}, 401)) as server:
        url, options = via(way, server.url, monkeypatch)
        failure_of(client_of(url, **options))
        (request,) = server.requests
    assert request.header("Authorization") is None
    assert request.header("X-API-Key") == TOKEN


@pytest.mark.parametrize("way", WAYS)
def test_a_cookie_of_the_service_says_nothing_of_the_token(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does one of the client's connections keep it; a session of the user's own does."""
    healthy = json_answer(
        {"status": "healthy", "timestamp": 1_700_000_000_000}, Set_Cookie="session=1; Path=/"
    )
    with RawServer(*[read_request(), healthy] * 2) as server:
        url, options = via(way, server.url, monkeypatch)
        with client_of(url, **options) as client:
            assert client.health_check() and client.health_check()
        first, second = server.requests
    assert first.header("Cookie") is None
    kept = way not in ("pool", "traced function")
    assert second.header("Cookie") == ("session=1" if kept else None)


def test_health_is_asked_without_the_token() -> None:
    with RawServer(read_request(), HEALTHY) as server:
        with client_of(server.url) as client:
            client.health_check()
        (request,) = server.requests
    assert TOKEN.encode() not in request.raw


def test_many_threads_share_a_client_without_mixing_their_answers() -> None:
    def echo(connection: Connection) -> None:
        while True:
            name = connection.read_request().target.rpartition("=")[2]
            json_answer({**COUNTS, "productName": name})(connection)

    names = [f"p{number % 8}" for number in range(80)]
    with RawServer(echo) as server, client_of(server.url) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(client.get_status, names, timeout=30))
    assert [answer["productName"] for answer in answers] == names

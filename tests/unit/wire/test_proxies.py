"""The service behind a proxy of the environment: bounds, and what may have been received."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from appid_manager_client.errors import (
    AppIdManagerError,
    AuthenticationError,
    ConfigurationError,
    RequestTimeout,
    ServiceUnavailable,
)
from appid_manager_client.wire.proxies import is_loopback
from tests.support.calls import CALLS
from tests.support.rawserver import (
    RawServer,
    Step,
    drip,
    endless,
    hang,
    http_answer,
    read_request,
    refused,
    reset,
    send,
)
from tests.support.secrets import TOKEN, assert_hidden

from .exchanges import HEALTHY, QUICK, UNKNOWN_HOST, answering, asked, client_of, failure_of

PLAIN = f"http://{UNKNOWN_HOST}"
SECURE = f"https://{UNKNOWN_HOST}"
PASSWORD = "proxypass"


def failure_behind(
    proxy: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    url: str = PLAIN,
    call: str = "init",
    timeout: float = 10,
) -> AppIdManagerError:
    """What a call raises that reaches the service through `proxy` (a URL) only."""
    for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, proxy.replace("//", f"//user:{PASSWORD}@"))
    error = failure_of(client_of(url, timeout), call)
    assert_hidden(error, PASSWORD)
    return error


def page(status: int, **headers: str) -> Step:
    body = b"<html>no</html>"
    return send(http_answer(status, body, content_type="text/html", headers=list(headers.items())))


def test_a_proxy_of_the_environment_is_used_and_looked_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with RawServer(read_request(), HEALTHY) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with client_of(f"{PLAIN}/base") as client:
            assert client.health_check()
            proxy.wait_for_ends(1)
            monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
            assert client.health_check()
        assert [r.target for r in proxy.requests] == [f"{PLAIN}/base/health"] * 2


def test_no_proxy_keeps_a_service_off_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with answering(HEALTHY) as url, client_of(url) as client:
        assert client.health_check()


def test_what_a_proxy_refuses_to_take_was_certainly_not_received_by_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with refused() as url:
        error = failure_behind(url, monkeypatch, call="acquire")
    assert isinstance(error, ServiceUnavailable) and not error.maybe_received


def test_a_proxy_that_can_t_be_used_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://")
    assert isinstance(failure_of(client_of(PLAIN)), ConfigurationError)


@pytest.mark.parametrize("end", [(), (reset(),)], ids=["closed", "reset"])
def test_what_a_proxy_got_may_have_reached_the_service(
    end: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(read_request(), *end) as proxy:
        error = failure_behind(proxy.url, monkeypatch)
        assert len(asked(proxy)) == 1, "an init was sent twice"
    assert isinstance(error, ServiceUnavailable) and error.maybe_received


DRIPPING = (send(b"HTTP/1.1 200 OK\r\nX: "), drip(b"x" * 60_000, interval=0.02))


@pytest.mark.parametrize(
    ("url", "steps"),
    [
        (PLAIN, DRIPPING),
        (PLAIN, (endless(b"HTTP/1.1 100 Continue\r\n\r\n"),)),
        (PLAIN, (hang(),)),
        (SECURE, DRIPPING),
        (SECURE, (hang(),)),
    ],
    ids=["head", "interim answers", "silence", "head for a tunnel", "silence for a tunnel"],
)
def test_what_comes_through_a_proxy_is_not_read_for_ever(
    url: str, steps: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(*steps) as proxy:
        error = failure_behind(proxy, monkeypatch, url=url, timeout=QUICK)
    assert isinstance(error, RequestTimeout)


@pytest.mark.parametrize(
    ("status", "tries"), [(407, 1), (403, 1), (400, 1), (429, 4), (502, 4), (504, 4)]
)
def test_a_tunnel_that_a_proxy_refuses_is_asked_for_again_only_where_that_can_help(
    status: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(read_request(), page(status)) as proxy:
        error = failure_behind(proxy.url, monkeypatch, url=SECURE, call="status")
        assert proxy.connections == tries
        assert all(TOKEN.encode() not in request.raw for request in proxy.requests)
    assert isinstance(error, ServiceUnavailable) and not error.maybe_received
    assert error.status == status and str(status) in str(error) and "proxy" in str(error)


@pytest.mark.parametrize("call", CALLS)
def test_a_proxy_that_asks_for_a_login_says_so_and_is_not_asked_again(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = page(407, **{"Proxy-Authenticate": "Basic realm=office"})
    with RawServer(read_request(), login) as proxy:
        error = failure_behind(proxy.url, monkeypatch, call=call)
        assert proxy.connections == 1
    assert isinstance(error, ServiceUnavailable)
    assert (error.status, error.maybe_received, error.retryable) == (407, False, False)
    assert "proxy" in str(error) and "password" in str(error)


@pytest.mark.parametrize("status", [401, 403])
def test_a_proxy_that_forbids_the_way_is_not_taken_for_the_service(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(read_request(), page(status)) as proxy:
        error = failure_behind(proxy.url, monkeypatch)
        assert proxy.connections == 1
    assert isinstance(error, AuthenticationError) and error.status == status
    assert "in between" in str(error) and "NO_PROXY" in str(error)
    assert "check the token" not in str(error) and error.problem is None


LOOPBACKS = {
    "127.0.0.1": True,
    "127.3.2.1": True,
    "127.1": True,
    "0x7f000001": True,
    "0.0.0.0": True,
    "[::1]": True,
    "[0:0:0:0:0:0:0:1]": True,
    "[::]": True,
    "[::ffff:127.0.0.1]": True,
    "[::ffff:7f00:1]": True,
    "localhost": True,
    "LocalHost": True,
    "localhost.": True,
    "appids.localhost": True,
    "128.0.0.1": False,
    "10.0.0.1": False,
    "[::2]": False,
    "[::ffff:10.0.0.1]": False,
    "localhost.example.com": False,
    "mylocalhost": False,
    "127.0.0.1.example.com": False,
}


@pytest.mark.parametrize(("host", "local"), LOOPBACKS.items())
def test_whatever_names_this_machine_is_known(host: str, local: bool) -> None:
    assert is_loopback(f"http://{host}:5000/base") is local


@pytest.mark.parametrize("own_session", [False, True])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_service_on_this_machine_is_never_reached_through_a_proxy(
    host: str, variable: str, own_session: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"session_factory": requests.Session} if own_session else {}
    with RawServer(read_request(), page(403)) as proxy, RawServer(read_request(), HEALTHY) as here:
        monkeypatch.setenv(variable, proxy.url)
        url = f"http://{host}:{here.port}"
        with client_of(url, **options) as client:
            assert client.health_check()
        assert proxy.connections == 0 and here.connections == 1


def test_a_proxy_that_a_session_names_itself_is_used_on_this_machine_too() -> None:
    def factory() -> requests.Session:
        session = requests.Session()
        session.proxies = {"http": proxy.url}
        return session

    with RawServer(read_request(), HEALTHY) as proxy:
        with client_of("http://127.0.0.1:9", session_factory=factory) as client:
            assert client.health_check()

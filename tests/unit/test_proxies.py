"""The service behind a proxy of the environment: the same bounds and the same honesty about what may have arrived."""

from __future__ import annotations

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.errors import (
    AppIdManagerError,
    AuthenticationError,
    RequestTimeout,
    ServiceUnavailable,
)
from tests.support.calls import CALLS
from tests.support.machine import TurnedSystem
from tests.support.rawserver import (
    RawServer,
    Step,
    drip,
    endless,
    hang,
    http_answer,
    read_request,
    reset,
    send,
)
from tests.support.secrets import TOKEN, assert_hidden

QUICK = 0.3
PLAIN = "http://service.invalid:5000"
SECURE = "https://service.invalid:5000"


def client_of(url: str, timeout: float = 10) -> AppIdClient:
    return AppIdClient(url, timeout, auth_token=TOKEN, system=TurnedSystem())


def failure_behind(
    proxy: RawServer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    url: str = PLAIN,
    call: str = "init",
    timeout: float = 10,
) -> AppIdManagerError:
    """What a call raises whose way to the service leads through `proxy`."""
    for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, proxy.url.replace("//", "//user:proxypass@"))
    client = client_of(url, timeout)
    try:
        with pytest.raises(AppIdManagerError) as caught:
            CALLS[call](client)
    finally:
        client.close(0)
    assert_hidden(caught.value)
    assert_hidden(caught.value, "proxypass")
    return caught.value


@pytest.mark.parametrize("end", [(), (reset(),)], ids=["closed", "reset"])
def test_what_a_proxy_got_may_have_reached_the_service(
    end: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(read_request(), *end) as proxy:
        error = failure_behind(proxy, monkeypatch)
        assert proxy.connections == 1, "an init was sent twice"
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
    with RawServer(read_request(), *steps) as proxy:
        error = failure_behind(proxy, monkeypatch, url=url, timeout=QUICK)
    assert isinstance(error, RequestTimeout)


@pytest.mark.parametrize(
    ("status", "tries"), [(407, 1), (403, 1), (400, 1), (429, 4), (502, 4), (504, 4)]
)
def test_a_tunnel_that_a_proxy_refuses_is_asked_for_again_only_where_that_can_help(
    status: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = http_answer(status, b"<html>no</html>", content_type="text/html")
    with RawServer(read_request(), send(page)) as proxy:
        error = failure_behind(proxy, monkeypatch, url=SECURE)
        assert proxy.connections == tries
        assert all(TOKEN.encode() not in request.raw for request in proxy.requests)
    assert isinstance(error, ServiceUnavailable) and not error.maybe_received
    assert error.status == status and str(status) in str(error) and "proxy" in str(error)


@pytest.mark.parametrize("call", CALLS)
def test_a_proxy_that_asks_for_a_login_says_so_and_is_not_asked_again(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = http_answer(
        407,
        b"<html>who are you?</html>",
        content_type="text/html",
        headers=[("Proxy-Authenticate", "Basic realm=office")],
    )
    with RawServer(read_request(), send(page)) as proxy:
        error = failure_behind(proxy, monkeypatch, call=call)
        assert proxy.connections == 1
    assert isinstance(error, ServiceUnavailable)
    assert (error.status, error.maybe_received, error.retryable) == (407, False, False)
    assert "proxy" in str(error) and "password" in str(error)


def test_a_proxy_that_forbids_the_way_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    page = http_answer(403, b"<html>blocked</html>", content_type="text/html")
    with RawServer(read_request(), send(page)) as proxy:
        error = failure_behind(proxy, monkeypatch)
        assert proxy.connections == 1
    assert isinstance(error, AuthenticationError) and error.status == 403

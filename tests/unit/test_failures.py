"""Each failure of the transport is its own typed error, met over a real socket, and none shows the token."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from appid_manager_client import AppIdClient
from appid_manager_client.errors import (
    AppIdManagerError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequest,
    ProtocolError,
    RequestTimeout,
    ServiceUnavailable,
    TransportError,
)
from appid_manager_client.wire.responses import retry_after
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
    refused,
    reset,
    send,
    unconnectable,
)
from tests.support.secrets import TOKEN, assert_hidden

QUICK = 0.3


def client_of(url: str, timeout: float = 10, **options: Any) -> AppIdClient:
    """A client whose pauses take no time, with a token to lose."""
    options.setdefault("system", TurnedSystem())
    return AppIdClient(url, timeout, auth_token=TOKEN, **options)


@contextmanager
def answering(*steps: Step) -> Iterator[str]:
    with RawServer(read_request(), *steps) as server:
        yield server.url


def json_answer(body: Any, status: int = 200, **headers: str) -> Step:
    return send(
        http_answer(
            status,
            json.dumps(body).encode(),
            headers=[(name.replace("_", "-"), value) for name, value in headers.items()],
        )
    )


def failure_of(client: AppIdClient, name: str = "acquire") -> AppIdManagerError:
    try:
        with pytest.raises(AppIdManagerError) as caught:
            CALLS[name](client)
    finally:
        client.close(0)
    return caught.value


# One failure after the other


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


def test_a_silent_service_times_out_and_may_have_acted() -> None:
    with answering(hang()) as url:
        error = failure_of(client_of(url, QUICK))
    assert isinstance(error, RequestTimeout) and error.maybe_received
    assert "no answer within 0.3 s" in str(error)


def test_a_reset_in_place_of_an_answer_may_have_been_received() -> None:
    with answering(reset()) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ServiceUnavailable) and error.maybe_received
    assert "reset" in str(error)


def test_a_connection_closed_without_an_answer_is_told() -> None:
    with answering() as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ServiceUnavailable) and error.maybe_received
    assert "closed without an answer" in str(error)


@pytest.mark.parametrize("end", [(), (reset(),)], ids=["closed", "reset"])
def test_an_answer_that_breaks_off_half_way_is_no_answer(end: tuple[Step, ...]) -> None:
    with answering(send(http_answer(200, b'{"appid": "a', length=200)), *end) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ServiceUnavailable) and error.maybe_received


@pytest.mark.parametrize(
    "chunks", [b'5\r\n{"app', b"zz\r\n{}\r\n0\r\n\r\n", b"5\r\n{}"], ids=["short", "bad", "cut"]
)
def test_a_chunked_answer_that_breaks_off_is_no_answer(chunks: bytes) -> None:
    head = http_answer(200, b"", length=None, headers=[("Transfer-Encoding", "chunked")])
    with answering(send(head + chunks)) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ServiceUnavailable) and error.maybe_received


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appid_manager_client.wire.transport.MAX_ANSWER", 1024 * 1024)
    with answering(send(http_answer(200, b"", length=None)), endless()) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ProtocolError)
    assert "without end" in str(error)


def test_a_body_that_drips_is_not_read_for_ever() -> None:
    with answering(
        send(http_answer(200, b"", length=100_000)), drip(b" " * 100_000, interval=0.02)
    ) as url:
        error = failure_of(AppIdClient(url, QUICK, auth_token=TOKEN))
    assert isinstance(error, RequestTimeout) and error.maybe_received


@pytest.mark.parametrize(
    "beginning", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 "], ids=["header", "status"]
)
def test_a_head_that_drips_is_not_read_for_ever(beginning: bytes) -> None:
    with answering(send(beginning), drip(b"x" * 60_000, interval=0.02)) as url:
        error = failure_of(AppIdClient(url, QUICK, auth_token=TOKEN))
    assert isinstance(error, RequestTimeout) and error.maybe_received


def test_interim_answers_without_end_are_not_read_for_ever() -> None:
    with answering(endless(b"HTTP/1.1 100 Continue\r\n\r\n")) as url:
        error = failure_of(AppIdClient(url, QUICK, auth_token=TOKEN))
    assert isinstance(error, RequestTimeout) and error.maybe_received


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("call", CALLS)
def test_a_refused_token_is_never_tried_again(status: int, call: str) -> None:
    with RawServer(read_request(), json_answer({"error": "unauthorized"}, status)) as server:
        error = failure_of(client_of(server.url), call)
        assert server.connections == 1
    assert isinstance(error, AuthenticationError) and error.status == status
    assert "APPID_MANAGER_TOKEN" in str(error)


@pytest.mark.parametrize("page", [b"", b"<html>Forbidden</html>", b"[]"])
def test_a_refusal_by_a_proxy_s_page_is_a_refusal_too(page: bytes) -> None:
    with answering(send(http_answer(403, page, content_type="text/html"))) as url:
        assert isinstance(failure_of(client_of(url)), AuthenticationError)


@pytest.mark.parametrize(("status", "received"), [(429, False), (503, True)])
def test_a_busy_service_says_how_long_to_wait(status: int, received: bool) -> None:
    with answering(json_answer({"error": "busy"}, status, Retry_After="17")) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ServiceUnavailable)
    assert (error.status, error.retry_after) == (status, 17)
    assert error.maybe_received is received and error.retryable


def test_a_retry_after_that_is_a_date_counts_from_the_answer_s_own() -> None:
    headers = {
        "Date": "Wed, 15 Nov 2023 00:00:00 GMT",
        "Retry_After": "Wed, 15 Nov 2023 00:00:42 GMT",
    }
    with answering(json_answer({"error": "busy"}, 503, **headers)) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ServiceUnavailable) and error.retry_after == 42


@pytest.mark.parametrize("call", ["acquire", "status", "release"])
def test_a_busy_service_is_asked_again_no_sooner_than_it_said(call: str) -> None:
    busy = [read_request(), json_answer({"error": "busy"}, 503, Retry_After="4")]
    denied = [read_request(), json_answer({"error": "unauthorized"}, 401)]
    system = TurnedSystem(jitter=0)
    with RawServer(scripts=[busy, denied]) as server:
        with client_of(server.url, system=system) as client:
            with pytest.raises(AuthenticationError):
                if call == "acquire":
                    client.acquire_appid("p")
                else:
                    CALLS[call](client)
            assert system.pauses[0] == 4
            assert len({request.target for request in server.requests[:2]}) == 1


def test_an_internal_error_may_have_acted_and_may_pass() -> None:
    with answering(json_answer({"error": "internal_error", "message": "oops"}, 500)) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ServiceUnavailable)
    assert error.status == 500 and error.maybe_received and error.retryable
    assert "internal_error" in str(error)


def test_a_server_that_knows_no_such_call_is_not_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page = http_answer(501, b"<h1>Unsupported method</h1>", content_type="text/html")
    with RawServer(read_request(), send(page)) as server:
        with client_of(server.url) as client:
            with pytest.raises(ServiceUnavailable) as caught:
                client.acquire_appid("p")
            assert client.pending_releases == ()
        assert len(server.requests) == 1  # nor told to give anything back
    assert caught.value.status == 501 and not caught.value.maybe_received
    # The client of an earlier test may still be logging.
    assert not [record for record in caplog.records if server.url in record.getMessage()]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [200, 202, 404])
def test_a_web_page_in_place_of_json_says_what_came(call: str, status: int) -> None:
    page = b"<html><h1>Welcome</h1></html>"
    with RawServer(
        read_request(), send(http_answer(status, page, content_type="text/html"))
    ) as server:
        error = failure_of(client_of(server.url), call)
        asked = [request.target.partition("?")[0] for request in server.requests]
    # What an unreadable answer may have granted is given up, once.
    assert asked in ([asked[0]], [asked[0], "/api/appid/release"])
    assert isinstance(error, ProtocolError) and error.status == status
    assert "<html>" in str(error) and "text/html" in str(error)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"1", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000]
)
def test_what_is_no_json_object_is_a_protocol_error(content: bytes) -> None:
    with answering(send(http_answer(200, content))) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ProtocolError) and len(str(error)) < 400


@pytest.mark.parametrize(
    "said",
    [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x15\x03\x01\x00\x02\x02\x0a", b"HTTP/9.9 hello\r\n\r\n"],
)
def test_what_is_no_http_at_all_is_a_protocol_error_and_not_tried_again(said: bytes) -> None:
    with RawServer(read_request(), send(said)) as server:
        with client_of(server.url) as client, pytest.raises(ProtocolError):
            client.acquire_appid("p", max_retries=5)
        targets = [request.target for request in server.requests]
    assert targets.count("/api/appid/acquire") == 1 and len(targets) <= 2


def test_gzip_is_read_and_garbage_that_says_it_is_gzip_is_a_protocol_error() -> None:
    body = gzip.compress(b'{"status": "healthy", "timestamp": 1700000000000}')
    encoded = [("Content-Encoding", "gzip")]
    with answering(send(http_answer(200, body, headers=encoded))) as url, client_of(url) as client:
        assert client.health_check() is True
    with answering(send(http_answer(200, b"not gzip at all", headers=encoded))) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ProtocolError)


def test_a_small_answer_that_unpacks_without_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("appid_manager_client.wire.transport.MAX_ANSWER", 1024 * 1024)
    bomb = gzip.compress(b" " * 20_000_000)
    with answering(send(http_answer(200, bomb, headers=[("Content-Encoding", "gzip")]))) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ProtocolError) and "without end" in str(error)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    b"HTTP/1.1 200 OK\r\n",
                    b"Content-Length: ",
                    b"\r\n\r\n",
                    b"5",
                    b"-1",
                    b"{}",
                    b"\r\n",
                ]
                + [
                    b"Transfer-Encoding: chunked\r\n",
                    b"Location: http://[\r\n",
                    b"HTTP/1.1 302 \r\n",
                ]
                + [
                    b"Retry-After: Mon, 1 Jan 2020 0:0:0 +99999999999999999999\r\n",
                    b"HTTP/1.1 503 \r\n",
                ]
                + [b"Content-Encoding: deflate\r\n", b"Set-Cookie: a=b\r\n", b"HTTP/1.1 204 x\r\n"]
            ),
        ),
        max_size=8,
    )
)
def test_whatever_bytes_come_back_the_error_is_one_of_ours(pieces: list[bytes]) -> None:
    with answering(send(b"".join(pieces))) as url:
        error = failure_of(client_of(url), "init")
    assert isinstance(error, (TransportError, ProtocolError, AuthenticationError, InvalidRequest))
    assert TOKEN not in str(error)


# Retry-After


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_retry_after_is_a_number_or_nothing(value: str, date: str) -> None:
    seconds = retry_after({"Retry-After": value, "Date": date})
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 12 ", 12),
        ("9" * 400, 999_999_999),
        ("-3", None),
        ("1.5", None),
        ("soon", None),
        ("Mon, 01 Jan 2020 00:00:00 +99999999999999999999", None),
        ("Wed, 15 Nov 2023 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_taken_where_it_can_be_meant(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value, "Date": "yesterday"}) == seconds


# Redirects


@pytest.mark.parametrize("way", ["pool", "session", "proxy"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_token_stays_here(
    way: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(read_request(), json_answer({})) as elsewhere:
        location = ("Location", f"{elsewhere.url}/api?key=private")
        with RawServer(
            read_request(), send(http_answer(status, b"", headers=[location]))
        ) as server:
            url, options = via(way, server.url, monkeypatch)
            error = failure_of(client_of(url, **options))
        assert elsewhere.connections == 0
    assert isinstance(error, ProtocolError)
    assert (error.status, error.maybe_received) == (status, False)
    assert elsewhere.url in str(error) and "private" not in str(error)


@pytest.mark.parametrize("way", ["pool", "session", "proxy"])
def test_a_redirect_whose_body_has_no_end_is_given_up(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appid_manager_client.wire.transport.MAX_ANSWER", 1024 * 1024)
    head = http_answer(302, b"", length=None, headers=[("Location", "http://127.0.0.1:9/")])
    with answering(send(head), endless()) as server_url:
        url, options = via(way, server_url, monkeypatch)
        assert isinstance(failure_of(client_of(url, **options)), ProtocolError)


def via(way: str, url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    """The URL and options with which a client goes that way to the server at `url`."""
    if way == "session":
        return url, {"session_factory": requests.Session}
    if way == "proxy":
        monkeypatch.setenv("HTTP_PROXY", url)
        return "http://service.invalid:5000", {}
    return url, {}


# The environment


def test_a_proxy_of_the_environment_is_used_and_looked_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    healthy = json_answer({"status": "healthy", "timestamp": 1_700_000_000_000})
    with RawServer(read_request(), healthy) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with client_of("http://service.invalid:5000/base") as client:
            assert client.health_check()
            proxy.wait_for_ends(1)
            monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
            assert client.health_check()
        assert [r.target for r in proxy.requests] == ["http://service.invalid:5000/base/health"] * 2


def test_no_proxy_keeps_a_service_off_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with answering(json_answer({"status": "healthy", "timestamp": 1})) as url:
        with client_of(url) as client:
            assert client.health_check()


def test_a_proxy_that_refuses_was_certainly_not_received_by_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with refused() as url:
        monkeypatch.setenv("HTTP_PROXY", url.replace("//", "//user:proxypass@"))
        error = failure_of(client_of("http://service.invalid:5000"))
    assert isinstance(error, ServiceUnavailable) and not error.maybe_received
    assert_hidden(error)
    assert_hidden(error, "proxypass")


def test_a_proxy_that_can_t_be_used_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://")
    error = failure_of(client_of("http://service.invalid:5000"))
    assert isinstance(error, ConfigurationError)


@pytest.mark.parametrize("way", ["pool", "session", "proxy"])
def test_netrc_is_not_looked_up(way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
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


def test_health_is_asked_without_the_token() -> None:
    with RawServer(read_request(), json_answer({"status": "healthy", "timestamp": 1})) as server:
        with client_of(server.url) as client:
            client.health_check()
        (request,) = server.requests
    assert TOKEN.encode() not in request.raw


def test_one_connection_serves_many_calls() -> None:
    healthy = json_answer({"status": "healthy", "timestamp": 1})
    steps = [step for _ in range(5) for step in (read_request(), healthy)]
    with RawServer(*steps) as server, client_of(server.url) as client:
        for _ in range(5):
            assert client.health_check()
        assert server.connections == 1


def test_a_connection_that_the_service_closed_meanwhile_is_replaced() -> None:
    healthy = json_answer({"status": "healthy", "timestamp": 1})
    with RawServer(read_request(), healthy) as server, client_of(server.url) as client:
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

    healthy = json_answer({"status": "healthy", "timestamp": 1})
    with RawServer(read_request(), healthy) as server:
        with client_of(server.url, session_factory=factory) as client:
            assert client.health_check()
            server.wait_for_ends(1)
            assert client.health_check()
        assert len(made) == 1
        assert {r.header("X-Team") for r in server.requests} == {"billing"}
        assert all((r.header("Authorization") or "").startswith("Basic ") for r in server.requests)


# What the handling of one failure must not take from another


def test_what_a_user_was_handling_says_nothing_of_a_failure_of_ours() -> None:
    with answering(hang()) as url, client_of(url, QUICK) as client:
        try:
            raise ConnectionRefusedError("the user's own database")
        except ConnectionRefusedError:
            with pytest.raises(RequestTimeout) as caught:
                client.init_product("p", {"a": 1})
    assert caught.value.maybe_received, "it is taken for a refused connection"


# The token


ECHOES: dict[str, tuple[Step, ...]] = {
    "closed": (),
    "reset": (reset(),),
    "silence": (hang(),),
    "401": (json_answer({"error": TOKEN, "message": f"bad key {TOKEN}"}, 401),),
    "400": (json_answer({"error": f"no {TOKEN}", "message": f"bad key {TOKEN}"}, 400),),
    "404 page": (send(http_answer(404, f"<p>{TOKEN}</p>".encode())),),
    "500": (json_answer({"error": TOKEN, "message": TOKEN}, 500),),
    "503 page": (send(http_answer(503, TOKEN.encode())),),
    "200 page": (send(http_answer(200, f"<p>X-API-Key: {TOKEN}</p>".encode())),),
    "echo": (json_answer({"headers": {"X-Api-Key": TOKEN}, "error": TOKEN}, 200),),
    "echo in a field": (
        json_answer(
            dict.fromkeys(["appid", "vid", "starttime", "success", "total", "appids"], TOKEN)
        ),
    ),
    "echo in an entry": (
        json_answer(
            {"total": 1, "available": 1, "in_use": 0, "released": 0, "appids": [{"appid": TOKEN}]}
        ),
    ),
    "202": (json_answer({"error": TOKEN, "retry_after": TOKEN, "message": TOKEN}, 202),),
    "redirect": (send(http_answer(302, b"", headers=[("Location", f"http://{TOKEN}@h/{TOKEN}")])),),
    "broken off": (send(http_answer(200, f'{{"x": "{TOKEN}'.encode(), length=999)),),
    "no http": (send(f"what is {TOKEN}?\r\n".encode()),),
    "bad header": (send(b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: many\r\n\r\n"),),
}


@pytest.mark.parametrize("way", ["pool", "session"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ECHOES)
def test_the_token_is_in_no_error_log_pickle_or_traceback(
    kind: str, call: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with answering(*ECHOES[kind]) as url:
        options = {} if way == "pool" else {"session_factory": requests.Session}
        try:
            error: AppIdManagerError | None = failure_of(client_of(url, QUICK, **options), call)
        except pytest.fail.Exception:
            # Some answers are what this call expects.
            error = None
    if error is not None:
        assert_hidden(error)
    assert TOKEN not in caplog.text
    for record in caplog.records:
        assert TOKEN not in repr(vars(record))
    assert error is not None or kind.startswith("echo"), "every other answer is a failure"


def test_the_token_is_in_no_failure_to_connect(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with ExitStack() as stack:
        urls = [stack.enter_context(refused()), stack.enter_context(unconnectable())]
        for url in [*urls, "http://nowhere.invalid"]:
            assert_hidden(failure_of(client_of(url, QUICK)))
    assert TOKEN not in caplog.text


def test_an_interrupt_on_the_wire_does_not_carry_the_request_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(socket.socket, "sendall", interrupted)
    with answering(hang()) as url, client_of(url) as client:
        with pytest.raises(KeyboardInterrupt) as caught:
            client.get_status("p")
        monkeypatch.undo()
    assert_hidden(caught.value)


def test_many_threads_share_a_client_without_mixing_their_answers() -> None:
    class Echo(RawServer):
        pass

    def echo(connection: Any) -> None:
        while True:
            request = connection.read_request()
            name = request.target.rpartition("=")[2]
            body = {"total": 0, "available": 0, "in_use": 0, "released": 0, "appids": []}
            connection.send(http_answer(200, json.dumps({**body, "productName": name}).encode()))

    wrong: list[str] = []

    def ask(client: AppIdClient, name: str) -> None:
        for _ in range(10):
            if client.get_status(name)["productName"] != name:
                wrong.append(name)

    with Echo(echo) as server, client_of(server.url) as client:
        threads = [threading.Thread(target=ask, args=(client, f"p{n}")) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    assert not wrong

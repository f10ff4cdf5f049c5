"""Statuses that mean the same for every call, and bodies that are no JSON object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appid_manager_client.errors import AuthenticationError, ProtocolError, ServiceUnavailable
from appid_manager_client.wire.responses import retry_after
from tests.support.calls import CALLS
from tests.support.machine import TurnedSystem
from tests.support.rawserver import RawServer, endless, http_answer, read_request, send

from .exchanges import WAYS, answering, asked, client_of, failure_of, json_answer, via


def test_a_host_that_the_service_does_not_take_is_no_matter_of_the_token() -> None:
    body = {"error": "foreign_origin", "message": "Host: use --allowed-host"}
    with answering(json_answer(body, 403)) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, AuthenticationError) and error.status == 403
    assert str(error).endswith("Host: use --allowed-host")
    assert "TOKEN" not in str(error)


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


def test_what_a_service_says_of_its_state_is_shown() -> None:
    body = {"error": "unavailable", "reason": "full", "message": "no room\x1b left"}
    with answering(json_answer(body, 503, Retry_After="5")) as url:
        error = failure_of(client_of(url))
    assert "(503, 'unavailable'): no room\\x1b left" in str(error)


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
    page = http_answer(status, b"<html><h1>Welcome</h1></html>", content_type="text/html")
    with RawServer(*[read_request(), send(page)] * 2) as server:
        error = failure_of(client_of(server.url), call)
        paths = asked(server)
    # What an unreadable answer may have granted is given up, once.
    assert paths in ([paths[0]], [paths[0], "/api/appid/release"])
    assert isinstance(error, ProtocolError) and error.status == status
    assert "<html>" in str(error) and "text/html" in str(error)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"1", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000]
)
def test_what_is_no_json_object_is_a_protocol_error(content: bytes) -> None:
    with answering(send(http_answer(200, content))) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ProtocolError) and len(str(error)) < 400


@pytest.mark.parametrize("way", WAYS)
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


@pytest.mark.parametrize("way", WAYS)
def test_a_redirect_whose_body_has_no_end_is_given_up(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appid_manager_client.wire.transport.MAX_ANSWER", 1024 * 1024)
    head = http_answer(302, b"", length=None, headers=[("Location", "http://127.0.0.1:9/")])
    with answering(send(head), endless()) as server_url:
        url, options = via(way, server_url, monkeypatch)
        assert isinstance(failure_of(client_of(url, **options)), ProtocolError)

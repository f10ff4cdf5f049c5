"""Bytes over the socket: whatever they are, the answer is JSON of the contract; nothing changes."""

import contextlib
import socket
import sqlite3
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appid_manager_client.server.http.h11_protocol import ServiceH11Protocol
from appid_manager_client.server.http.httptools_protocol import ServiceHttpToolsProtocol
from appid_manager_client.testing import LocalService
from tests.service.conftest import Api
from tests.service.http.exchange import BODY, answers, exchange, get, post


@pytest.fixture(scope="module", params=[ServiceHttpToolsProtocol, ServiceH11Protocol])
def raw(request):
    """A service on each of the two parsers; its product `stt` must stay as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("appid_manager_client.server.run.protocol_class", lambda: request.param)
        with LocalService() as running:
            running.clock.freeze()
            Api(running).init("stt", {"a": 1, "b": 2})
            yield running


@pytest.mark.parametrize(
    "said",
    [
        b"what is this?\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        get(target=b"/h\xffealth"),
        get(b"nonsense"),
        get(b"X: a\0b"),
        b"POST /api/appid/acquire HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n"
        + BODY,
        b"POST /api/appid/acquire HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n" + BODY,
        b"POST /api/appid/acquire HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
        + b"9" * 30
        + b"\r\n\r\n",
        post(b"Content-Length: 5"),
        b"POST /api/appid/acquire HTTP/1.1\r\nHost: localhost\r\n"
        + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_told_so_in_json_and_changes_nothing(raw, said):
    before = raw.status()
    told = answers(exchange(raw, said))
    assert told
    for status, body in told:
        assert 400 <= status < 500
        assert body["error"] and body["message"]
    assert raw.status() == before


def test_a_head_without_end_is_refused(raw):
    said = exchange(raw, get()[:-2] + b"X: ", *[b"x" * 65536] * 64)
    # Who goes on sending may find the connection reset before it reads this.
    assert [status for status, _ in answers(said)] in ([400], [431], [])


def test_a_body_that_broke_off_is_not_carried_out(raw):
    before = raw.status()
    exchange(raw, post(body=b'{"productName": "stt"}')[:-5], breaks_off=True)
    assert raw.status() == before


def test_who_sends_more_than_it_announced_gets_the_answer_to_what_it_announced(raw):
    request_id = b'"6ba7b810-9dad-11d1-80b4-00c04fd430c8"'
    body = b'{"productName": "none", "requestId": ' + request_id + b"}"
    first, *_ = answers(exchange(raw, post(body=body, close=False) + b"and more\r\n\r\n"))
    assert (first[0], first[1]["error"]) == (404, "product_not_found")


def test_a_stop_cuts_off_who_sends_no_more_and_leaves_no_traceback(monkeypatch, caplog):
    monkeypatch.setattr("appid_manager_client.server.run.STOP_TIMEOUT", 1)
    with LocalService() as service:
        address = ("127.0.0.1", int(service.url.rpartition(":")[2]))
        with socket.create_connection(address, 30) as peer:
            # Asked for by the service when it is about to read the body, and not sent.
            peer.sendall(post(b"Expect: 100-continue", close=False).removesuffix(BODY))
            assert peer.recv(100).startswith(b"HTTP/1.1 100 Continue")
            service.stop()
            ((status, body),) = answers(peer.recv(65536))
    assert (status, body["field"]) == (400, "body")
    assert all(record.exc_info is None for record in caplog.records)


def test_what_a_stop_can_t_wait_for_is_answered_and_leaves_no_traceback(
    monkeypatch, caplog, tmp_path
):
    monkeypatch.setattr("appid_manager_client.server.run.STOP_TIMEOUT", 1)
    monkeypatch.setattr("appid_manager_client.server.store.sqlite.LOCK_PATIENCE", 30)
    path = tmp_path / "appids.db"
    with LocalService(database=path) as service:
        address = ("127.0.0.1", int(service.url.rpartition(":")[2]))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with socket.create_connection(address, 30) as peer:
                peer.sendall(post(b"Expect: 100-continue", close=False).removesuffix(BODY))
                assert peer.recv(100).startswith(b"HTTP/1.1 100 Continue")
                peer.sendall(BODY)
                stopper = threading.Thread(target=service.stop)
                stopper.start()
                ((status, body),) = answers(peer.recv(65536))
            other.execute("ROLLBACK")
        stopper.join(30)
        assert not stopper.is_alive()
    assert (status, body["error"]) == (500, "internal_error")
    assert all(record.exc_info is None for record in caplog.records)


OFFERS = [
    (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQ"),
    (b"Connection: close, upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
]


@pytest.mark.parametrize("offer", OFFERS, ids=["HTTP/2", "websocket"])
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "body later"])
def test_who_offers_another_protocol_is_served_in_this_one(raw, offer, apart):
    request = post(*offer, close=False)
    head, _, body = request.partition(b"\r\n\r\n")
    pieces = [head + b"\r\n\r\n", body] if apart else [request]
    (status, answer), *_ = answers(exchange(raw, *pieces, get(b"Connection: close")))
    assert (status, answer["error"]) == (404, "product_not_found"), "its body was lost"


def test_the_connection_of_who_offered_another_protocol_serves_on(raw):
    requests = [get(*OFFERS[0]), post(*OFFERS[0], close=False), get(b"Connection: close")]
    assert [status for status, _ in answers(exchange(raw, b"".join(requests)))] == [200, 404, 200]


def test_a_connect_is_refused(raw):
    for target in (b"service:443", b"/health"):
        said = b"CONNECT " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert [400 <= status < 500 for status, _ in answers(exchange(raw, said))] == [True]


@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [
                    b"GET /health HTTP/1.1\r\n",
                    b"POST /api/appid/acquire HTTP/1.1\r\n",
                    b"Host: localhost\r\n",
                    b"Content-Length: 5\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Upgrade: h2c\r\n",
                    b"Connection: upgrade\r\n",
                    b"Expect: 100-continue\r\n",
                    b"\r\n",
                    b"5\r\nhello\r\n",
                    b"0\r\n\r\n",
                    b"%00%ff",
                ]
            ),
        ),
        max_size=10,
    )
)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_bytes_at_all_make_the_service_fail(raw, pieces):
    said = exchange(raw, *pieces, breaks_off=True).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    for status, body in answers(said):
        assert status < 500
        assert status < 400 or (body["error"] and body["message"])

"""Callers that close their side, or are gone: answered, or not granted."""

import contextlib
import json
import socket
import sqlite3
import struct
import uuid

import pytest

from appid_manager_client.server.http.h11_protocol import ServiceH11Protocol
from appid_manager_client.server.http.httptools_protocol import ServiceHttpToolsProtocol
from appid_manager_client.testing import LocalService
from tests.service.conftest import Api
from tests.service.http.exchange import answers, connect, exchange, post, read_all
from tests.support.waiting import wait_until


@pytest.fixture(params=[ServiceHttpToolsProtocol, ServiceH11Protocol])
def service(request, monkeypatch, tmp_path):
    monkeypatch.setattr("appid_manager_client.server.run.protocol_class", lambda: request.param)
    with LocalService(database=tmp_path / "appids.db") as running:
        Api(running).init("stt", {"a": 1, "b": 2})
        yield running


@contextlib.contextmanager
def write_lock(tmp_path):
    """Nothing can be granted meanwhile."""
    with contextlib.closing(sqlite3.connect(tmp_path / "appids.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def acquire(**more):
    return post(body=json.dumps({"productName": "stt", **more}).encode(), close=False)


def in_use(service):
    return sum(entry["status"] == "in_use" for entry in service.status("stt")["appids"])


def test_who_half_closes_after_an_acquire_is_answered_or_not_granted(service):
    ((status, body),) = answers(exchange(service, acquire(), breaks_off=True))
    assert (status, in_use(service)) in [(200, 1), (400, 0)]
    if status == 400:
        assert body["field"] == "requestId"


def test_who_half_closes_before_its_grant_is_not_granted_and_told_so(service, tmp_path):
    with connect(service) as peer:
        with write_lock(tmp_path):
            peer.sendall(acquire())
            peer.shutdown(socket.SHUT_WR)
            wait_until(lambda: all(one.gone for one in connections(service)), what="the end")
        ((status, body),) = answers(read_all(peer))
    assert (status, body["error"], body["field"]) == (400, "invalid_request", "requestId")
    assert in_use(service) == 0


def test_who_half_closes_with_a_request_id_gets_its_grant(service):
    asked = acquire(requestId=str(uuid.uuid4()))
    ((status, _),) = answers(exchange(service, asked, breaks_off=True))
    assert (status, in_use(service)) == (200, 1)


@pytest.mark.parametrize("path", [b"/api/appid/release", b"/api/appid/heartbeat"])
def test_who_half_closes_after_another_call_is_answered(service, path):
    body = b'{"productName": "stt", "appid": "none", "leaseIds": []}'
    said = exchange(service, post(path=path, body=body, close=False), breaks_off=True)
    assert len(answers(said)) == 1


def test_requests_that_were_sent_before_a_half_close_are_answered_in_turn(service):
    asked = [acquire(requestId=str(uuid.uuid4())) for _ in range(3)]
    told = answers(exchange(service, b"".join(asked), breaks_off=True))
    assert [status for status, _ in told] == [200, 200, 202][: len(told)]
    assert in_use(service) == min(len(told), 2)


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_who_is_gone_while_its_acquire_waits_gets_nothing(service, tmp_path, how):
    with write_lock(tmp_path):
        with connect(service) as peer:
            peer.sendall(acquire())
            wait_until(lambda: any(one.cycle for one in connections(service)), what="the request")
            if how == "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until(lambda: all(one.gone for one in connections(service)), what="the end")
    wait_until(lambda: in_use(service) == 0, what="the end of what was granted, if anything was")
    assert service.status("stt")["available"] >= 1


def connections(service):
    # Nothing public shows them.
    return list(service._server.server_state.connections)


@pytest.mark.parametrize("wait", [{}, {"wait": 0}])
def test_who_half_closes_without_a_ttl_is_told_that_its_lease_is_in_doubt(service, wait):
    """It may be gone; whoever comes again with the request has the lease until its release."""
    request_id = str(uuid.uuid4())
    said = exchange(service, acquire(requestId=request_id, **wait), breaks_off=True)
    ((status, body),) = answers(said)
    if status == 200 and body["expiresAt"] is not None:
        assert body["expiresAt"] - body["serverTime"] == pytest.approx(60_000, abs=2_000)
    _, again = Api(service).acquire("stt", requestId=request_id)
    assert again["expiresAt"] is None


def test_who_is_gone_at_its_grant_has_a_minute_to_come_again(service, tmp_path):
    with connect(service) as peer:
        with write_lock(tmp_path):
            peer.sendall(acquire(requestId=str(uuid.uuid4())))
            peer.shutdown(socket.SHUT_WR)
            wait_until(lambda: all(one.gone for one in connections(service)), what="the end")
        ((status, body),) = answers(read_all(peer))
    assert status == 200
    assert body["expiresAt"] - body["serverTime"] == pytest.approx(60_000, abs=2_000)
    service.advance(61)
    assert in_use(service) == 0

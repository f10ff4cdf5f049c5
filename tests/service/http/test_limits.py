"""Callers that are slow, silent or many: closed in time, told so where they can hear it."""

import contextlib
import json
import logging
import select
import socket
import subprocess
import sys
import time

import pytest
import requests

from appid_manager_client.server.http.h11_protocol import ServiceH11Protocol
from appid_manager_client.server.http.httptools_protocol import ServiceHttpToolsProtocol
from appid_manager_client.server.http.limits import Limits, limits_for
from appid_manager_client.testing import LocalService
from tests.service.conftest import Api
from tests.service.http.exchange import answers, connect, get, post, read_all
from tests.support.waiting import PATIENCE, wait_until

SHORT = 0.2  # seconds
LONG = 600.0
PATIENT = {
    "connections": 500,
    **dict.fromkeys(("head", "body", "init_body", "idle", "answer"), LONG),
}
POST = b"POST /api/appid/%s HTTP/1.1\r\nHost: localhost\r\n"
ACQUIRE = b'{"productName": "stt"}'


@pytest.fixture(params=[ServiceHttpToolsProtocol, ServiceH11Protocol])
def serve(request, monkeypatch, caplog):
    """Starts a service whose limits are all long but for those that are given."""
    caplog.set_level(logging.INFO, "appid_manager_client.server")
    run = "appid_manager_client.server.run"
    monkeypatch.setattr(f"{run}.protocol_class", lambda: request.param)
    with contextlib.ExitStack() as stack:

        def start(**limits):
            monkeypatch.setattr(f"{run}.connection_limits", lambda: Limits(**{**PATIENT, **limits}))
            service = stack.enter_context(LocalService())
            Api(service).init("stt", {"a": 1, "b": 2})
            return service

        yield start


def drip(peer, piece):
    """Send `piece` again and again until the service answers or ends the connection."""
    deadline = time.monotonic() + PATIENCE
    while not select.select([peer], [], [], 0.01)[0]:
        assert time.monotonic() < deadline, "the service takes it for ever"
        with contextlib.suppress(OSError):
            peer.sendall(piece)
    return read_all(peer)


def free(service):
    return service.status("stt")["available"]


def test_a_silent_connection_is_closed_without_an_answer(serve):
    with connect(serve(head=SHORT)) as peer:
        assert read_all(peer) == b""


@pytest.mark.parametrize("before", [b"", get()], ids=["first", "second"])
@pytest.mark.parametrize("piece", [b"", b"x"], ids=["silent", "byte by byte"])
def test_a_head_that_takes_too_long_is_told_so(serve, before, piece):
    with connect(serve(head=SHORT)) as peer:
        peer.sendall(before + get()[:-2] + b"X-Long: ")
        if before:
            wait_until(lambda: select.select([peer], [], [], 0)[0], what="the first answer")
        said = drip(peer, piece) if not before else read_all(peer)
    status, body = answers(said)[-1]
    assert (status, body["error"]) == (408, "request_timeout")


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"Content-Length: 1000\r\n\r\n", b""),
        (b"Content-Length: 1000000\r\n\r\n" + ACQUIRE, b" "),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["silent", "byte by byte", "chunks without end"],
)
def test_a_body_that_takes_too_long_is_told_so_and_not_carried_out(serve, caplog, head, piece):
    service = serve(body=SHORT)
    with connect(service) as peer:
        peer.sendall(POST % b"acquire" + head)
        ((status, body),) = answers(drip(peer, piece))
    assert (status, body["error"]) == (408, "request_timeout")
    assert free(service) == 2
    assert "waited for the body of a request" in caplog.text


def test_a_body_that_goes_on_after_its_refusal_is_cut_off(serve):
    service = serve(body=SHORT)
    with connect(service) as peer:
        peer.sendall(POST % b"acquire" + b"Content-Length: 99000000\r\n\r\n")
        said = peer.recv(65536)
        assert answers(said)[0][0] == 413
        deadline = time.monotonic() + PATIENCE
        with contextlib.suppress(OSError):
            while peer.send(b" "):
                assert time.monotonic() < deadline, "the service takes it for ever"


def test_an_init_may_take_longer(serve):
    service = serve(body=SHORT)
    body = json.dumps({"productName": "other", "appids": {"x": 1}}).encode()
    with connect(service) as slow, connect(service) as peer:
        slow.sendall(POST % b"init" + b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
        peer.sendall(POST % b"acquire" + b"Content-Length: 9\r\n\r\n")
        assert answers(read_all(peer))[0][0] == 408
        slow.sendall(body[5:])
        assert answers(slow.recv(65536))[0][0] == 200
    with connect(serve(init_body=SHORT)) as slow:
        slow.sendall(POST % b"init" + b"Content-Length: 9\r\n\r\n")
        assert answers(read_all(slow))[0][0] == 408


def test_an_idle_connection_is_closed(serve, caplog):
    with connect(serve(idle=1)) as peer:
        peer.sendall(get())
        assert [status for status, _ in answers(read_all(peer))] == [200]
    assert "slow" not in caplog.text


@pytest.mark.parametrize("close", [b"", b"Connection: close"])
def test_who_does_not_read_its_answer_is_cut_off(serve, caplog, close):
    service = serve(answer=SHORT, reading_rate=10**12)
    Api(service).init("many", {f"a{number:0200}": number for number in range(12_000)})
    with connect(service) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(get(*filter(None, [close]), target=b"/api/appid/status"))
        wait_until(lambda: "the caller to read its answer" in caplog.text, what="an end")
        assert Api(service).acquire("stt")[0] == 200


def test_slow_callers_delay_nobody(serve):
    service = serve()
    with contextlib.ExitStack() as stack:
        for number in range(200):
            peer = stack.enter_context(connect(service))
            peer.sendall([b"", get()[:9], POST % b"init", post()[:-3]][number % 4])
        assert Api(service).acquire("stt")[0] == 200


def test_silent_connections_give_way_to_those_that_ask(serve, caplog):
    service = serve(connections=20)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connect(service)) for _ in range(60)]
        assert Api(service).acquire("stt")[0] == 200
        assert read_all(peers[0]) == b""
    assert any(record.event == "connections_full" for record in caplog.records)
    assert "ulimit -n" in caplog.text


def test_where_all_connections_are_at_work_a_newcomer_hears_to_try_again(serve):
    service = serve(connections=2)
    with connect(service) as one, connect(service) as two:
        for peer in (one, two):
            peer.sendall(post(b"Expect: 100-continue")[:-3])
            assert peer.recv(100).startswith(b"HTTP/1.1 100")
        answer = requests.get(f"{service.url}/health", timeout=30)
        assert (answer.status_code, answer.json()["reason"]) == (503, "busy")
        assert answer.headers["Retry-After"] == "1"
        one.sendall(post()[-3:])
        assert answers(one.recv(65536))[0][0] == 404


@pytest.mark.parametrize("open_files", [3, 64, 100, 256, 1024, 65536])
def test_there_are_fewer_connections_than_files(open_files):
    connections = limits_for(open_files).connections
    assert 1 <= connections < open_files
    assert connections >= open_files // 2


def test_the_service_has_as_many_open_files_as_it_may():
    program = (
        "import resource as r\n"
        "from appid_manager_client.server.run import connection_limits, raise_open_files\n"
        "hard = min(r.getrlimit(r.RLIMIT_NOFILE)[1], 4096)\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (256, hard))\n"
        "few = connection_limits().connections\n"
        "raise_open_files()\n"
        "print(few, r.getrlimit(r.RLIMIT_NOFILE)[0] == hard, connection_limits().connections)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE
    )
    few, raised, more = done.stdout.split()
    assert int(few) < 256 < int(more)
    assert raised == "True"

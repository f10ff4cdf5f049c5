"""The test support itself: the raw server follows its script, and no test leaves this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import rawserver as raw
from tests.support.isolation import NetworkBlocked, nothing_left_running
from tests.support.tcp import Connection
from tests.support.waiting import wait_until

REQUEST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"


def talk(server: raw.RawServer, request: bytes = REQUEST) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_script_reads_and_answers_and_the_request_is_recorded() -> None:
    with raw.RawServer(raw.read_request(), raw.send(raw.http_answer(200, b"{}"))) as server:
        assert talk(server).endswith(b"Content-Length: 2\r\n\r\n{}")
    (request,) = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/x", b"hi")
    assert request.header("HOST") == "h"
    assert request.raw == REQUEST


def test_each_connection_gets_its_script_and_later_ones_the_last() -> None:
    scripts = [[raw.read_request(), raw.send(letter)] for letter in (b"a", b"b")]
    with raw.RawServer(scripts=scripts) as server:
        assert [talk(server) for _ in range(3)] == [b"a", b"b", b"b"]
        server.wait_for_ends(3)
    assert server.connections == 3


def test_a_reset_is_a_reset() -> None:
    with raw.RawServer(raw.read_request(), raw.send(b"HTTP"), raw.reset()) as server:
        with pytest.raises(ConnectionResetError):
            talk(server)


def test_a_drip_sends_byte_by_byte() -> None:
    with raw.RawServer(raw.read_request(), raw.drip(b"abc", 0.001)) as server:
        assert talk(server) == b"abc"


@pytest.mark.parametrize("step", [raw.hang(), raw.endless(), raw.drip(b"x" * 100_000)])
def test_what_never_ends_ends_with_the_server(step: raw.Step) -> None:
    with raw.RawServer(raw.read_request(), step) as server:
        with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
            sock.sendall(REQUEST)
            server.wait_for_requests()
    assert len(server.requests) == 1


def test_a_silent_server_goes_on_at_the_event() -> None:
    event = threading.Event()
    with raw.RawServer(raw.read_request(), raw.wait(event), raw.send(b"late")) as server:
        with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
            sock.sendall(REQUEST)
            server.wait_for_requests()
            event.set()
            assert sock.recv(10) == b"late"


def test_whether_the_peer_has_gone_is_known_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(1.0)
        connection = Connection(ours, threading.Event())
        assert not connection.is_gone()  # a look that waited for data would find it gone in the end
        theirs.sendall(b"x")
        assert not connection.is_gone()
        ours.recv(1)
        theirs.close()
        assert connection.is_gone()


def test_a_full_queue_lets_a_connect_time_out() -> None:
    with raw.unconnectable() as url:
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 0.1)


def test_a_closed_port_refuses() -> None:
    with raw.refused() as url:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 20)


def _connect_ex(address: Any) -> None:
    with socket.socket() as sock:
        sock.connect_ex(address)


def _send_to(address: Any) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", address)


@pytest.mark.parametrize("attempt", [_connect_ex, _send_to])
@pytest.mark.parametrize("host", ["101.64.234.17", "8.8.8.8", "10.0.0.1"])
def test_no_address_beyond_loopback_is_reached(attempt: Callable[[Any], None], host: str) -> None:
    with pytest.raises(NetworkBlocked, match=host):
        attempt((host, 80))


@pytest.mark.parametrize("host", ["example.com", "101.64.234.17", "::ffff:8.8.8.8"])
def test_no_name_beyond_loopback_is_looked_up(host: str) -> None:
    with pytest.raises(NetworkBlocked, match=host):
        socket.getaddrinfo(host, 80)


def test_a_plain_connect_beyond_loopback_is_blocked_twice() -> None:
    with socket.socket() as sock, pytest.raises((UserWarning, RuntimeError), match="101.64.234.17"):
        sock.connect(("101.64.234.17", 8888))


def test_threads_are_guarded_too() -> None:
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            _connect_ex(("101.64.234.17", 8888))
        except NetworkBlocked as error:
            caught.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join(20)
    assert len(caught) == 1


def test_localhost_is_allowed_by_name() -> None:
    with socket.create_server(("localhost", 0)) as listener:
        port = listener.getsockname()[1]
        socket.create_connection(("localhost", port), 20).close()


def test_a_name_under_invalid_does_not_exist() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("no-such-host.invalid", 80)


def test_the_environment_is_clean(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert not [name for name in os.environ if name.startswith("APPID_MANAGER_")]
    assert not [name for name in os.environ if name.lower().endswith("_proxy")]
    home = Path(os.environ["HOME"])
    assert home.is_relative_to(tmp_path_factory.getbasetemp())
    assert list(home.iterdir()) == []


def test_a_thread_left_running_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.isolation._GRACE", 0.05)
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    with pytest.raises(AssertionError, match="left running"):
        with nothing_left_running():
            thread.start()
    end.set()
    thread.join(20)


def test_a_child_left_running_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.isolation._GRACE", 0.05)
    with pytest.raises(AssertionError, match="left running.*stdin"):
        with nothing_left_running():
            child = subprocess.Popen(
                [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
            )
            # Until exec it still bears the name of this process.
            wait_until(lambda: b"stdin" in Path(f"/proc/{child.pid}/cmdline").read_bytes())
    child.communicate(timeout=20)


def test_waiting_names_what_did_not_come() -> None:
    start = time.monotonic()
    with pytest.raises(AssertionError, match="not within 0.01 s: the moon"):
        wait_until(lambda: False, 0.01, what="the moon")
    assert time.monotonic() - start >= 0.01
    assert wait_until(lambda: 7) == 7

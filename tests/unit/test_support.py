"""The test support itself: no test leaves this machine, and none leaves anything running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.isolation import NetworkBlocked, nothing_left_running
from tests.support.tcp import Connection
from tests.support.waiting import wait_until


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
    with ThreadPoolExecutor(1) as thread, pytest.raises(NetworkBlocked):
        thread.submit(_connect_ex, ("101.64.234.17", 8888)).result()


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

"""Isolation of tests: only the loopback network, a clean environment, and nothing left running."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_GRACE = 10.0
_LOOPBACK_NAMES = {"localhost", ""}
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy"}


class NetworkBlocked(RuntimeError):
    """A test tried to reach something beyond this machine."""


def block_the_network() -> None:
    """Refuse connections, datagrams and name look-ups beyond loopback in this process, from now on.

    An audit hook sees what patched methods miss: `connect_ex`, `sendto`, fixtures, other threads,
    and the time between tests. A name under `.invalid` does not exist, as on the real network.
    Child processes are not covered, nor is the look-up of a name that is passed to `connect_ex`.
    """
    sys.addaudithook(_audit)


def hear_all_signals() -> None:
    """Stop ignoring signals, here and in children: nohup and background jobs start with some."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if interrupt else signal.SIG_DFL)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        sock, address = args
        if sock.family in (socket.AF_INET, socket.AF_INET6) and address is not None:
            _check(address[0], event)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
        if isinstance(host, bytes):
            host = host.decode("ascii", "replace")
        if host is None:
            return
        if host.rstrip(".").endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        _check(host, event)


def _check(host: str, event: str) -> None:
    if host in _LOOPBACK_NAMES:
        return
    try:
        if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            return
    except ValueError:
        pass
    raise NetworkBlocked(f"{event} for {host!r}: tests reach this machine only")


@contextmanager
def clean_environment(home: Path) -> Iterator[None]:
    """Within the block, `os.environ` names no setting of ours, no proxy, and an empty home."""
    saved = dict(os.environ)
    for name in saved:
        if name.startswith("APPID_MANAGER_") or name.lower() in _PROXIES:
            del os.environ[name]
    os.environ["HOME"] = str(home)
    os.environ["XDG_STATE_HOME"] = str(home / "state")
    os.environ["XDG_CONFIG_HOME"] = str(home / "config")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


@contextmanager
def nothing_left_running() -> Iterator[None]:
    """Fail when the block leaves non-daemon threads or child processes that do not end soon."""
    threads_before, children_before = _threads(), _children()
    yield
    deadline = time.monotonic() + _GRACE
    pause = 0.001
    while True:
        threads, children = _threads() - threads_before, _children() - children_before
        if not threads and not children:
            return
        assert time.monotonic() < deadline, f"left running: {[*threads, *map(_command, children)]}"
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.daemon}


def _children() -> set[str]:
    """The pids of this process's children, but those that outlast tests (Linux)."""
    pids: set[str] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            pids.update(listing.read_text().split())
        except OSError:  # the thread has ended meanwhile, or the kernel has no such file
            continue
    return {pid for pid in pids if not _outlasts_tests(pid)}


# What `multiprocessing` keeps, and the PostgreSQL of the session, which tests restart.
_OUTLASTING = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "/appid-postgres-")


def _outlasts_tests(pid: str) -> bool:
    command = _command(pid)
    return any(part in command for part in _OUTLASTING)


def _command(pid: str) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        command = b"(ended)"
    return f"process {pid}: {command.replace(bytes(1), b' ').decode(errors='replace')}"

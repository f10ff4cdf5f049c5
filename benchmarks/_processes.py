"""Services that run in processes of their own within a `with` block."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_START_WITHIN = 30.0


@contextlib.contextmanager
def service(module: str, *arguments: str) -> Iterator[int]:
    """Run `python -m module PORT ...`, and yield its port once it accepts connections."""
    with running(module, *arguments) as (port, _):
        yield port


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """The same; yields the port and the process's id."""
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(port), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def peak_memory(pid: int) -> int:
    """The most memory that a process had so far, in bytes. Linux tells it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell the memory of a process")


def init(port: int, product: str, count: int) -> None:
    """Set `count` AppIDs for `product`."""
    appids = {f"{product}-{number:06d}": number for number in range(count)}
    body = json.dumps({"productName": product, "appids": appids})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/api/appid/init", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"init answered {answer.status}: {answer.read()!r}")
        answer.read()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the service did not start: exit status {process.poll()}")

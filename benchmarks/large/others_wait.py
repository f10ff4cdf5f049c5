"""How long others wait at the most while the service does something large.

One caller acquires and releases, over and over; the peer is the same caller while nothing else
happens. An init of 50,000 AppIDs is one transaction; a status of 100,000 is fetched in pages.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection

from appid_manager_client import AppIdClient
from benchmarks._processes import init, service
from benchmarks._report import at_most

_INIT, _STATUS = 50_000, 100_000
_QUIET = 3.0
"""Seconds for which the caller is watched while nothing else happens."""


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        with service("benchmarks._our_peer", f"sqlite:///{directory}/appids.db") as port:
            init(port, "busy", 20_000)
            init(port, "large", _STATUS)
            quiet = _longest(port, time.sleep, _QUIET)
            _report(f"an init of {_INIT:,}", quiet, _longest(port, init, port, "o", _INIT), 0.35)
            during = _longest(port, _read_status, port)
            _report(f"a status of {_STATUS:,}", quiet, during, 0.05)


def _read_status(port: int) -> None:
    with AppIdClient(f"http://127.0.0.1:{port}", 60, journal=False) as client:
        client.health_check()  # tells that the service has pages
        if client.get_status("large")["total"] != _STATUS:
            raise RuntimeError("that was not the whole status")


def _report(what: str, quiet: float, during: float, target: float) -> None:
    print(f"  during {what}: {during * 1e3:.0f} ms, otherwise {quiet * 1e3:.0f} ms at the most")
    at_most(f"others' longest wait in {what}, to {target:g} s", during / target, 1.0)


def _longest(port: int, meanwhile: Callable[..., object], *arguments: object) -> float:
    """The longest call of a caller, in seconds, while a process of its own does something."""
    other = multiprocessing.get_context("spawn").Process(target=meanwhile, args=arguments)
    other.start()
    longest = 0.0
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        while other.is_alive():
            begun = time.perf_counter()
            grant = _post(connection, "acquire", {"productName": "busy"})
            granted = time.perf_counter()
            _post(connection, "release", {"productName": "busy", "appid": grant["appid"]})
            longest = max(longest, granted - begun, time.perf_counter() - granted)
    other.join()
    if other.exitcode:
        raise RuntimeError(f"what happened meanwhile failed: {meanwhile}")
    return longest


def _post(connection: HTTPConnection, what: str, body: dict[str, object]) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/api/appid/{what}", json.dumps(body), headers)
    answer: dict[str, str] = json.loads(connection.getresponse().read())
    return answer

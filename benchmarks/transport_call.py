"""A call of the client beside the same request by bare urllib3, and by requests as commonly used.

The server is a trivial one in another process, so that the client's own work is measured.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests
import urllib3

from appid_manager_client import AppIdClient
from benchmarks._processes import service
from benchmarks._report import at_most

_CALLS = 50
_ROUNDS = 60
_TOKEN = "benchmark-token-benchmark-token"


def main() -> None:
    with service("benchmarks._trivial_peer") as port:
        url = f"http://127.0.0.1:{port}"
        ways = {
            "urllib3": _bare(url),
            "the client": _client(url),
            "requests.Session.post": _session(url),
            "requests.post": _plain(url),
        }
        for call in ways.values():
            _seconds(call)
        with ThreadPoolExecutor(1) as thread:
            on_a_thread = thread.submit(_compare, ways).result()
        in_the_main_thread = _compare({name: ways[name] for name in ("urllib3", "the client")})
    _show("on a thread", on_a_thread)
    _show("in the main thread", in_the_main_thread)
    at_most("acquire_appid to bare urllib3, on a thread", _ratio(on_a_thread), 1.05)
    at_most(
        "acquire_appid to bare urllib3, in the main thread, where it is shielded from signals",
        _ratio(in_the_main_thread),
        1.35,
    )


def _compare(ways: dict[str, Callable[[], object]]) -> list[dict[str, float]]:
    """Rounds in which each way has its turn, on the calling thread."""
    return [{name: _seconds(call) for name, call in ways.items()} for _ in range(_ROUNDS)]


def _ratio(rounds: list[dict[str, float]], name: str = "the client") -> float:
    return statistics.median(each[name] / each["urllib3"] for each in rounds)


def _show(where: str, rounds: list[dict[str, float]]) -> None:
    for name in rounds[0]:
        microseconds = statistics.median(each[name] for each in rounds) / _CALLS * 1e6
        ratio = _ratio(rounds, name)
        print(f"  {where}, {name}: {microseconds:,.0f} us a call, {ratio:.2f} times urllib3")


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(_CALLS):
        call()
    return time.perf_counter() - began


def _client(url: str) -> Callable[[], object]:
    client = AppIdClient(url, auth_token=_TOKEN)
    return lambda: client.acquire_appid("bench")


_BODY = {"productName": "bench", "requestId": "5a0f9f5e-59d5-4f0f-8a51-6a4b0a1e7c55"}


def _bare(url: str) -> Callable[[], object]:
    pool = urllib3.PoolManager()
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": "benchmark",
        "X-API-Key": _TOKEN,
    }

    def call() -> object:
        body = json.dumps(_BODY).encode()
        answer = pool.request("POST", f"{url}/api/appid/acquire", body=body, headers=headers)
        return json.loads(answer.data)

    return call


def _session(url: str) -> Callable[[], object]:
    session = requests.Session()
    headers = {"X-API-Key": _TOKEN}
    return lambda: session.post(f"{url}/api/appid/acquire", json=_BODY, headers=headers).json()


def _plain(url: str) -> Callable[[], object]:
    headers = {"X-API-Key": _TOKEN}
    return lambda: requests.post(f"{url}/api/appid/acquire", json=_BODY, headers=headers).json()

"""A pair of calls (acquire, release) and a lease, beside the same two requests by bare urllib3.

The server is a trivial one in another process, so that the client's own work is measured. Each turn
goes each of the ways once, in shuffled order. `requests` as it is commonly used stands beside them.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests
import urllib3

from appid_manager_client import AppIdClient
from benchmarks._processes import service
from benchmarks._report import at_most, in_parts

_TURNS = 800
_WARM_UP = 30
_TOKEN = "benchmark-token-benchmark-token"
_REQUESTS = (
    ("acquire", {"productName": "bench", "requestId": "5a0f9f5e-59d5-4f0f-8a51-6a4b0a1e7c55"}),
    ("release", {"productName": "bench", "appid": "a1"}),
)

Took = dict[str, list[float]]


def main() -> None:
    with service("benchmarks._trivial_peer") as port:
        url = f"http://127.0.0.1:{port}"
        with AppIdClient(url, auth_token=_TOKEN) as one, AppIdClient(url, auth_token=_TOKEN) as two:
            ways = {
                "urllib3": _bare(url),
                "a pair": _pair(one),
                "a lease": _lease(two),
                "requests.Session.post": _session(url),
                "requests.post": _plain(url),
            }
            with ThreadPoolExecutor(1) as thread:
                on_a_thread = thread.submit(_take_turns, ways).result()
            ours = {name: ways[name] for name in ("urllib3", "a pair", "a lease")}
            in_the_main_thread = _take_turns(ours)
    _show("on a thread", on_a_thread)
    _show("in the main thread", in_the_main_thread)
    pair = "a pair to bare urllib3"
    for where, took, target in (
        ("on a thread", on_a_thread, 1.05),
        ("in the main thread", in_the_main_thread, 1.35),
    ):
        at_most(f"{pair}, {where}", _ratio(took), target, _ratios(took))
    for where, took in (("on a thread", on_a_thread), ("in the main one", in_the_main_thread)):
        lease = ("a lease", "a pair")
        at_most(
            f"a lease to such a pair, {where}", _ratio(took, *lease), 1.25, _ratios(took, *lease)
        )


def _take_turns(ways: dict[str, Callable[[], object]]) -> Took:
    """Return the seconds of each way, turn by turn, on the calling thread."""
    chance = random.Random(1)
    took: Took = {name: [] for name in ways}
    for _ in range(_WARM_UP + _TURNS):
        for name in chance.sample(list(ways), len(ways)):
            began = time.perf_counter()
            ways[name]()
            took[name].append(time.perf_counter() - began)
    return {name: each[_WARM_UP:] for name, each in took.items()}


def _ratio(took: Took, this: str = "a pair", that: str = "urllib3") -> float:
    return statistics.median(took[this]) / statistics.median(took[that])


def _ratios(took: Took, this: str = "a pair", that: str = "urllib3") -> list[float]:
    """The same of each part of the turns."""
    parts = zip(in_parts(took[this]), in_parts(took[that]))
    return [statistics.median(one) / statistics.median(other) for one, other in parts]


def _show(where: str, took: Took) -> None:
    for name, each in took.items():
        low, middle, high = statistics.quantiles(each, n=4)
        print(
            f"  {where}, {name}: {middle * 1e6:,.0f} us (half of them {low * 1e6:,.0f} to "
            f"{high * 1e6:,.0f}), {_ratio(took, name):.2f} times urllib3"
        )


def _pair(client: AppIdClient) -> Callable[[], object]:
    def pair() -> None:
        appid, *_ = client.acquire_appid("bench")
        client.release_appid(appid, "bench")

    return pair


def _lease(client: AppIdClient) -> Callable[[], object]:
    def lease() -> None:
        with client.lease("bench"):
            pass

    return lease


def _bare(url: str) -> Callable[[], object]:
    pool = urllib3.PoolManager()
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": "benchmark",
        "X-API-Key": _TOKEN,
    }

    def pair() -> None:
        for call, about in _REQUESTS:
            body = json.dumps(about).encode()
            answer = pool.request("POST", f"{url}/api/appid/{call}", body=body, headers=headers)
            json.loads(answer.data)

    return pair


def _session(url: str) -> Callable[[], object]:
    return _by_requests(url, requests.Session().post)


def _plain(url: str) -> Callable[[], object]:
    return _by_requests(url, requests.post)


def _by_requests(url: str, post: Callable[..., requests.Response]) -> Callable[[], object]:
    headers = {"X-API-Key": _TOKEN}

    def pair() -> None:
        for call, about in _REQUESTS:
            post(f"{url}/api/appid/{call}", json=about, headers=headers).json()

    return pair


if __name__ == "__main__":
    main()

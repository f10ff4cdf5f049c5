"""Leases of 200 coroutines at once, beside the same two calls by aiohttp.

Once with a trivial server, so that the client's own work is measured, and once with our service,
durable, which answers many callers at once. Both run in another process.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

from appid_manager_client import AppIdClient
from benchmarks._processes import init, service
from benchmarks._report import at_least

_COROUTINES = 200
_LEASES = 3
_ROUNDS = 15
_TOKEN = "benchmark-token-benchmark-token"


def main() -> None:
    try:
        import aiohttp
    except ImportError as error:
        print(f"  left out ({error}): pip install aiohttp")
        return
    with ExitStack() as stack:
        trivial = stack.enter_context(service("benchmarks._trivial_peer"))
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        ours = stack.enter_context(
            service("benchmarks._our_peer", f"sqlite:///{directory}/appids.db")
        )
        init(ours, "bench", 2 * _COROUTINES * _LEASES * (_ROUNDS + 1))
        for name, port in (("a trivial server", trivial), ("our service", ours)):
            asyncio.run(_compare(aiohttp, f"http://127.0.0.1:{port}", name))


async def _compare(aiohttp: Any, url: str, name: str) -> None:
    headers = {"X-API-Key": _TOKEN}
    async with aiohttp.ClientSession(headers=headers) as session:
        with AppIdClient(url, 60, auth_token=_TOKEN) as client:

            async def post(path: str, **body: object) -> Any:
                async with session.post(f"{url}/api/appid/{path}", json=body) as answer:
                    return await answer.json()

            async def calls() -> None:
                about = {"productName": "bench"}
                got = await post("acquire", requestId=str(uuid.uuid4()), ttl=60, **about)
                lease = {"leaseId": got["leaseId"]} if "leaseId" in got else {}
                await post("release", appid=got["appid"], **lease, **about)

            async def lease() -> None:
                async with client.lease("bench"):
                    pass

            rounds = [(await _seconds(calls), await _seconds(lease)) for _ in range(_ROUNDS + 1)]
    for who, took in zip(("aiohttp", "the client"), zip(*rounds[1:])):
        microseconds = statistics.median(took) / (_COROUTINES * _LEASES) * 1e6
        print(f"  {name}, {who}: {microseconds:,.0f} us for both calls")
    ratios = [calls / lease for calls, lease in rounds[1:]]
    what = f"{_COROUTINES} coroutines to aiohttp, {name}"
    at_least(what, statistics.median(ratios), 0.5, ratios)


async def _seconds(work: Callable[[], Awaitable[None]]) -> float:
    async def repeat() -> None:
        for _ in range(_LEASES):
            await work()

    began = time.perf_counter()
    await asyncio.gather(*(repeat() for _ in range(_COROUTINES)))
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

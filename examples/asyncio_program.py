"""An asyncio program: many coroutines share a few AppIDs through a pool, and one job has its own.

    python examples/asyncio_program.py

A coroutine that waits holds no thread, and a cancelled one gives its AppID back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from appid_manager_client import INJECTED, AppIdClient, Lease, LeasePool, uses_appid
from appid_manager_client.testing import LocalService


async def bill_all(pool: LeasePool, calls: int) -> Counter[str]:
    @uses_appid(pool=pool)
    async def bill(call: int, *, lease: Lease = INJECTED) -> str:
        await asyncio.sleep(0.01)
        return lease.appid

    return Counter(await asyncio.gather(*(bill(call) for call in range(calls))))


async def stream(client: AppIdClient, words: list[str]) -> str:
    @uses_appid("stt_live", client=client)
    async def live(*, lease: Lease = INJECTED) -> AsyncIterator[str]:
        # Acquired at the first word, given back when the stream ends, is closed, or is cancelled.
        for word in words:
            yield f"[{lease.appid}] {word}"

    return " ".join([text async for text in live()])


async def run(client: AppIdClient) -> None:
    async with client.pool("stt_billing", max_size=3) as pool:
        for appid, calls in sorted((await bill_all(pool, 30)).items()):
            print(f"{appid}: {calls} calls, one at a time")
    print(await stream(client, ["good", "morning"]))

    async with client.lease("stt_live") as lease:
        print(f"a block of its own: {lease.appid}, {lease.remaining:.0f} s left of its hour")


def main() -> None:
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("stt_billing", {f"appid{n}": f"vid{n}" for n in range(1, 4)})
        client.init_product("stt_live", {"live1": "vid1", "live2": "vid2"})
        asyncio.run(run(client))


if __name__ == "__main__":
    main()

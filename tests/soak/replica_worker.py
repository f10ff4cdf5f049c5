"""One process of the soak of replicas: threads that take leases and write down what they believe.

    python -m tests.soak.replica_worker SEED NOTES TTL

It ends when its standard input is closed. A line of NOTES is a JSON object: `held` when an acquire
has returned, `ending` before the release, `released` once that was confirmed, `lost`. Times are
those of the monotonic clock, which all processes of a machine share, and of the wall clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
import time
from typing import Any

from appid_manager_client import AppIdClient, AppIdManagerError, Lease
from appid_manager_client.events import Event, EventKind

PLENTY, SCARCE = "plenty", "scarce"
THREADS = 4


class Notes:
    """Each line is written at once, and outlives a kill."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, what: str, appid: str, **facts: Any) -> None:
        now = {"at": time.monotonic(), "wall": round(time.time() * 1000)}
        line = json.dumps({"what": what, "appid": appid, **now, **facts})
        os.write(self._descriptor, f"{line}\n".encode())


class Worker:
    def __init__(self, seed: str, notes: Notes, ttl: float) -> None:
        self._seed = seed
        self._ttl = ttl
        self._notes = notes
        self._stop = threading.Event()
        self._client = AppIdClient(timeout=5, on_event=self._note_loss)
        self._ways = [self._block, self._block, self._block, self._coroutine, self._by_name]

    def run(self) -> None:
        threads = [threading.Thread(target=self._take, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        self._stop.set()
        for thread in threads:
            thread.join()
        self._client.close(timeout=30)

    def _take(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        while not self._stop.is_set():
            product = chance.choice([PLENTY, PLENTY, PLENTY, SCARCE])
            # Now and then longer than the ttl, and over the turn of the hour.
            seconds = chance.choice(
                [0.0, 0.02, 0.1, 0.3, 0.3, 15.0 if chance.random() < 0.1 else 1]
            )
            try:
                chance.choice(self._ways)(product, seconds)
            except AppIdManagerError:
                self._stop.wait(chance.uniform(0.05, 0.3))

    def _block(self, product: str, seconds: float) -> None:
        with self._client.lease(product, ttl=self._ttl, timeout=4) as lease:
            self._hold(lease, seconds)

    def _coroutine(self, product: str, seconds: float) -> None:
        async def use() -> None:
            async with self._client.lease(product, ttl=self._ttl, timeout=4) as lease:
                self._hold(lease, seconds)

        asyncio.run(use())

    def _by_name(self, product: str, seconds: float) -> None:
        """As callers of the documented API do; nothing extends its ttl."""
        got = self._client.acquire_appid(product, timeout=4, ttl=self._ttl)
        self._notes.write("held", got.appid, start=got.start_time)
        self._stop.wait(min(seconds, 1.0))
        self._notes.write("ending", got.appid, start=got.start_time)
        if self._client.release_appid(got.appid, product):
            self._notes.write("released", got.appid, start=got.start_time)

    def _hold(self, lease: Lease, seconds: float) -> None:
        facts = {"start": lease.start_time, "fence": lease.fence, "lease": lease.lease_id}
        self._notes.write("held", lease.appid, **facts)
        self._stop.wait(seconds)
        self._notes.write("lost" if lease.lost else "ending", lease.appid, **facts)
        if lease.release():
            self._notes.write("released", lease.appid, **facts)

    def _note_loss(self, event: Event) -> None:
        if event.kind is EventKind.LOST and event.appid is not None:
            self._notes.write("lost", event.appid)


if __name__ == "__main__":
    Worker(sys.argv[1], Notes(sys.argv[2]), float(sys.argv[3])).run()

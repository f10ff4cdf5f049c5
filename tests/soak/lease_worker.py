"""One process of the soak of leases: eight threads that take AppIDs in every way there is, until they are told to stop.

Reads commands from its standard input: `freeze` has no acquire begin, and answers `frozen` when none is on its way;
`stop` ends it. The last line says how many leases the threads had.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from appid_manager_client import AppIdClient, AppIdManagerError
from appid_manager_client.claims import ClaimState
from tests.support.waiting import wait_until

PRODUCT = "soak"
THREADS = 8


class Gate:
    """Lets acquires pass until it is frozen, and knows how many are on their way."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._open = True
        self._passing = 0

    @contextmanager
    def passing(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: self._open)
            self._passing += 1
        try:
            yield
        finally:
            with self._condition:
                self._passing -= 1
                self._condition.notify_all()

    def freeze(self) -> None:
        with self._condition:
            self._open = False
            self._condition.wait_for(lambda: not self._passing)


class BodyFailed(Exception):
    """What a tenth of the bodies raise."""


class Worker:
    def __init__(self, client: AppIdClient, seed: int) -> None:
        self._client = client
        self._seed = seed
        self._gate = Gate()
        self._stop = threading.Event()
        self._had = [0] * THREADS

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._take_leases, args=(number,), daemon=True)
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for line in sys.stdin:
            if line.strip() == "freeze":
                self._gate.freeze()
                # An acquire that timed out may still be on the wire, in a helper thread.
                wait_until(self._nothing_on_the_wire)
                print("frozen", flush=True)
            else:
                break
        self._stop.set()
        for thread in threads:
            thread.join()
        self._client.close(timeout=20)
        print("had", sum(self._had), flush=True)

    def _nothing_on_the_wire(self) -> bool:
        keeper = self._client._keeper
        with keeper._lock:
            return all(claim.state is not ClaimState.SENDING for claim in keeper._claims)

    def _take_leases(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        ways = [self._block, self._block, self._by_hand, self._forgotten, self._coroutine]
        while not self._stop.is_set():
            try:
                chance.choice(ways)(chance)
                self._had[number] += 1
            except (AppIdManagerError, BodyFailed):
                self._stop.wait(0.02)

    def _block(self, chance: random.Random) -> None:
        lease = self._client.lease(PRODUCT, timeout=chance.choice([0.01, 2, 5]))
        with self._gate.passing():
            lease.acquire()
        try:
            self._body(chance)
        finally:
            lease.release()

    def _by_hand(self, chance: random.Random) -> None:
        lease = self._client.lease(PRODUCT, timeout=5, ttl=5)
        with self._gate.passing():
            lease.acquire()
        self._body(chance)
        lease.check()
        lease.release()

    def _forgotten(self, chance: random.Random) -> None:
        lease = self._client.lease(PRODUCT, timeout=2)
        with self._gate.passing():
            lease.acquire()
        del lease

    def _coroutine(self, chance: random.Random) -> None:
        async def take() -> None:
            async with self._client.lease(PRODUCT):
                self._body(chance)

        with self._gate.passing():
            try:
                asyncio.run(asyncio.wait_for(take(), chance.choice([0.005, 0.05, 5])))
            except TimeoutError:
                pass

    def _body(self, chance: random.Random) -> None:
        self._stop.wait(chance.uniform(0, 0.02))
        if chance.random() < 0.1:
            raise BodyFailed


if __name__ == "__main__":
    # A service in the field that scans thousands of AppIDs takes its time; giving up on an acquire loses its answer.
    Worker(AppIdClient(timeout=60), int(sys.argv[1])).run()

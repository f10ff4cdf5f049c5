"""One process of the soak of leases: eight threads that take AppIDs in every way there is.

    python -m tests.soak.lease_worker SEED NOTES WAYS

Reads commands from its standard input: `freeze` has no acquire begin, and answers `frozen` when
none is on its way; `stop` ends it. What happens to its leases goes to the file NOTES, a line each,
which outlives a kill. WAYS is `all`, or `gated` for those alone whose acquires can be held up.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from appid_manager_client import AppIdClient, AppIdManagerError, Lease
from appid_manager_client.events import Event
from appid_manager_client.lease.claim import ClaimState
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


class Notes:
    """Lines `WORD APPID`: the kinds of events, and `ending` before a holder's own release."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, word: str, appid: str | None) -> None:
        os.write(self._descriptor, f"{word} {appid or '-'}\n".encode())

    def event(self, event: Event) -> None:
        self.write(event.kind.value, event.appid)


class BodyFailed(Exception):
    """What a tenth of the bodies raise."""


class Worker:
    def __init__(self, client: AppIdClient, notes: Notes, seed: int, ways: str) -> None:
        self._client = client
        self._notes = notes
        self._seed = seed
        self._ways = [self._block, self._block, self._by_hand, self._forgotten, self._coroutine]
        self._ways += [self._with_heartbeats]
        if ways == "all":
            # Its own thread acquires, whenever it likes: nothing that the gate could hold up.
            self._pool = client.pool(PRODUCT, max_size=2, timeout=5)
            self._ways += [self._pooled, self._pooled]
        self._gate = Gate()
        self._stop = threading.Event()

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

    def _nothing_on_the_wire(self) -> bool:
        keeper = self._client._keeper
        with keeper._ledger.lock:
            claims = keeper._ledger.of_this_process()
        return all(claim.state is not ClaimState.SENDING for claim in claims)

    def _take_leases(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        while not self._stop.is_set():
            try:
                chance.choice(self._ways)(chance)
            except (AppIdManagerError, BodyFailed):
                self._stop.wait(0.02)

    def _acquired(self, **options: Any) -> Lease:
        lease = self._client.lease(PRODUCT, **options)
        with self._gate.passing():
            return lease.acquire()

    def _give_back(self, lease: Lease) -> None:
        self._notes.write("ending", lease.appid)
        lease.release()

    def _block(self, chance: random.Random) -> None:
        lease = self._acquired(timeout=chance.choice([0.01, 2, 5]))
        try:
            self._body(chance)
        finally:
            self._give_back(lease)

    def _by_hand(self, chance: random.Random) -> None:
        lease = self._acquired(timeout=5, ttl=5)
        self._body(chance)
        lease.check()
        self._give_back(lease)

    def _with_heartbeats(self, chance: random.Random) -> None:
        """Held for longer than its `ttl`, now and then: only heartbeats keep it."""
        lease = self._acquired(timeout=5, ttl=2)
        try:
            self._stop.wait(chance.choice([0.02, 0.02, 0.02, 3]))
            lease.check()
        finally:
            self._give_back(lease)

    def _pooled(self, chance: random.Random) -> None:
        with self._pool.lease():
            self._body(chance)

    def _forgotten(self, chance: random.Random) -> None:
        self._acquired(timeout=2)

    def _coroutine(self, chance: random.Random) -> None:
        async def take() -> None:
            async with self._client.lease(PRODUCT) as lease:
                try:
                    self._body(chance)
                finally:
                    self._notes.write("ending", lease.appid)

        with self._gate.passing():
            try:
                asyncio.run(asyncio.wait_for(take(), chance.choice([0.005, 0.05, 5])))
            except TimeoutError:
                pass

    def _body(self, chance: random.Random) -> None:
        self._stop.wait(chance.uniform(0, 0.02))
        if chance.random() < 0.1:
            raise BodyFailed


def main() -> None:
    seed, path, ways = sys.argv[1:]
    notes = Notes(path)
    # A field service that scans thousands of AppIDs takes its time, and giving up on an acquire
    # loses its answer.
    client = AppIdClient(timeout=60, on_event=notes.event)
    Worker(client, notes, int(seed), ways).run()


if __name__ == "__main__":
    main()

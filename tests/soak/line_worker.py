"""One process of waiters for the soak of the line: threads or coroutines, which come back for ever.

python -m tests.soak.line_worker KIND COUNT NOTES
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

from appid_manager_client import AppIdClient, AppIdManagerError
from tests.soak.line_notes import note_acquires

PRODUCT = "scarce"
HELD = 0.2
"""Seconds for which an AppID is held."""
TTL = 5.0


def main() -> None:
    kind, count, notes = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    note_acquires(notes, queued=False)
    client = AppIdClient()
    if kind == "coroutines":
        asyncio.run(_coroutines(client, count))
    else:
        for _ in range(count):
            threading.Thread(target=_thread, args=(client,), daemon=True).start()
        sys.stdin.read()


def _thread(client: AppIdClient) -> None:
    while True:
        try:
            with client.lease(PRODUCT, ttl=TTL):
                time.sleep(HELD)
        except AppIdManagerError:
            time.sleep(1)


async def _coroutines(client: AppIdClient, count: int) -> None:
    async def wait() -> None:
        while True:
            try:
                async with client.lease(PRODUCT, ttl=TTL):
                    await asyncio.sleep(HELD)
            except AppIdManagerError:
                await asyncio.sleep(1)

    await asyncio.gather(*(wait() for _ in range(count)))


if __name__ == "__main__":
    main()

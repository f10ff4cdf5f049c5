"""The turn of the hour: 1,000 waiters in line for 300 AppIDs, on SQLite and on PostgreSQL.

The waiters are raw sockets in one process: each draws a ticket, and has its request held over the
turn. The peer is the same 300 grants without a line: as many callers who ask at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks._load import post
from benchmarks._processes import init, service
from benchmarks._report import at_most
from tests.support.postgres import running_postgres

_WAITERS = 1_000
_APPIDS = 300
_HOUR = 6
_ROUNDS = 2
_PRODUCT = "turn"


@dataclass(frozen=True)
class Turn:
    """What one turn brought, in seconds after it: the grants, and the last one who was refused."""

    grants: list[float]
    last_told: float


def main() -> None:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(running_postgres(fsync="on"))
        url = stack.enter_context(server.database())

        def peer(database: str) -> int:
            arguments = (database, str(_HOUR))
            return stack.enter_context(service("benchmarks._our_peer", *arguments))

        sqlite = [peer(f"sqlite:///{directory}/appids.db")]
        postgres = [peer(url), peer(url)]
        _compare("SQLite", sqlite, 2.5)
        _compare("PostgreSQL", postgres, 2.5)


def _compare(name: str, ports: Sequence[int], target: float) -> None:
    init(ports[0], _PRODUCT, _APPIDS)
    # The first turn warms up.
    turns = [asyncio.run(_turn(ports)) for _ in range(1 + _ROUNDS)][1:]
    bursts = [asyncio.run(_burst(ports)) for _ in range(1 + _ROUNDS)][1:]
    first, last, told = (
        statistics.median(times) * 1000
        for times in zip(*((min(one.grants), max(one.grants), one.last_told) for one in turns))
    )
    burst = statistics.median(bursts)
    print(
        f"  {name}: the first of {_APPIDS} grants {first:.0f} ms after the turn, the last one "
        f"{last:.0f} ms, the last of {_WAITERS} told at {told:.0f} ms; without a line, at once: "
        f"{burst * 1000:.0f} ms"
    )
    at_most(
        f"turn of {_WAITERS:,}, {name}: last grant to a burst",
        last / 1000 / burst,
        target,
        [max(turn.grants) / burst for turn in turns],
    )


async def _turn(ports: Sequence[int]) -> Turn:
    """Have all wait over one turn; checks that the first in line got it all."""
    await _sleep_until_an_hour_begins(ports[0])
    callers = await _connect(ports, _WAITERS)
    await asyncio.gather(*(one.ask(ttl=1) for one in callers[:_APPIDS]))
    waiters = await _draw(callers)
    now, hour_end = await callers[0].time()
    await _sleep_until(hour_end - 1_500)
    wait = (hour_end - now) / 1000
    told = await asyncio.gather(
        *(one.ask(requestId=request, wait=min(20, wait + 2)) for one, request in waiters)
    )
    after = [(one.answered - hour_end) / 1000 for one, _ in waiters]
    granted = ["appid" in body for body in told]
    if granted != [number < _APPIDS for number in range(_WAITERS)]:
        raise RuntimeError("the line was not served in its order")
    await asyncio.gather(*(one.ask(path="release", requestId=request) for one, request in waiters))
    for one in callers:
        one.close()
    return Turn(after[:_APPIDS], max(after[_APPIDS:]))


async def _draw(callers: Sequence[_Caller]) -> list[tuple[_Caller, str]]:
    """Have each draw a ticket, all at once; returns them with their requests, in their order."""
    requests = [str(uuid.uuid4()) for _ in callers]
    for _ in range(2):  # once all have drawn, the places stand
        told = await asyncio.gather(
            *(one.ask(requestId=request, wait=0) for one, request in zip(callers, requests))
        )
        if not all("ticket" in body for body in told):
            raise RuntimeError(f"no place in line, within an hour of {_HOUR} s: {told[-1]}")
    in_order = sorted(range(len(told)), key=lambda number: int(told[number]["place"]))
    return [(callers[number], requests[number]) for number in in_order]


async def _burst(ports: Sequence[int]) -> float:
    """How long as many callers take who ask at once, without a line."""
    await _sleep_until_an_hour_begins(ports[0])
    callers = await _connect(ports, _APPIDS)
    begun = time.perf_counter()
    told = await asyncio.gather(*(one.ask(requestId=str(uuid.uuid4()), ttl=1) for one in callers))
    seconds = time.perf_counter() - begun
    if not all("appid" in body for body in told):
        raise RuntimeError("not every acquire was answered with an AppID")
    for one in callers:
        one.close()
    return seconds


async def _sleep_until_an_hour_begins(port: int) -> None:
    (caller,) = await _connect([port], 1)
    _, hour_end = await caller.time()
    caller.close()
    await _sleep_until(hour_end + 50)


async def _sleep_until(moment: int) -> None:
    await asyncio.sleep(max(0.0, moment / 1000 - time.time()))


async def _connect(ports: Sequence[int], count: int) -> list[_Caller]:
    return [await _Caller.connect(ports[number % len(ports)]) for number in range(count)]


class _Caller:
    """One connection, which sends one request after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.answered = 0.0
        """When the last answer came, in milliseconds since the epoch."""

    @classmethod
    async def connect(cls, port: int) -> _Caller:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, path: str = "acquire", **more: Any) -> dict[str, Any]:
        body = json.dumps({"productName": _PRODUCT, **more}).encode()
        self._writer.write(post(f"/api/appid/{path}", body))
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.answered = time.time() * 1000
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer: dict[str, Any] = json.loads(await self._reader.readexactly(length))
        return answer

    async def time(self) -> tuple[int, int]:
        """The service's time, and the end of its hour."""
        self._writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = json.loads(await self._reader.readexactly(length))
        return body["serverTime"], body["hourEnd"]

    def close(self) -> None:
        self._writer.close()


if __name__ == "__main__":
    main()

"""A load generator with little work of its own: raw sockets, prepared requests, an event loop.

It reports its own share of processor time, to show that it was not the bottleneck.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True)
class Load:
    """What one run measured: answers by status, the seconds it took, and the generator's share."""

    statuses: dict[int, int]
    seconds: float
    own_share: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return sum(self.statuses.values()) / self.seconds


def run(ports: Sequence[int], requests: list[bytes], connections: int) -> Load:
    """Send all of `requests`: each connection sends the next one when it has its answer.

    The connections are spread over the ports.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_run(ports, requests, connections))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(ports, requests, connections))


def post(path: str, body: bytes) -> bytes:
    """A request of HTTP/1.1, which leaves the connection open if the service does."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


async def _run(ports: Sequence[int], requests: list[bytes], connections: int) -> Load:
    statuses: dict[int, int] = {}
    rest = iter(requests)
    begun, used = time.perf_counter(), time.process_time()
    each = (ports[number % len(ports)] for number in range(connections))
    await asyncio.gather(*(_connection(port, rest, statuses) for port in each))
    seconds = time.perf_counter() - begun
    return Load(statuses, seconds, (time.process_time() - used) / seconds)


async def _connection(port: int, rest: Iterator[bytes], statuses: dict[int, int]) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    # To a service that closes each connection, every request goes on a new one.
    while not done.done():
        closed: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(
            lambda: _Caller(rest, statuses, done, closed), "127.0.0.1", port
        )
        await closed
    await done


class _Caller(asyncio.Protocol):
    def __init__(
        self,
        rest: Iterator[bytes],
        statuses: dict[int, int],
        done: asyncio.Future[None],
        closed: asyncio.Future[None],
    ) -> None:
        self._rest, self._statuses, self._done, self._closed = rest, statuses, done, closed
        self._buffer = b""
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _length(head):
            return
        status = int(head[9:12])
        self._statuses[status] = self._statuses.get(status, 0) + 1
        self._buffer = b""
        self._waiting = False
        if b"\r\nconnection: close" in head.lower():
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._waiting and not self._done.done():
            self._done.set_exception(ConnectionError("the service closed without an answer"))
        self._closed.set_result(None)

    def _send(self) -> None:
        request = next(self._rest, None)
        if request is not None:
            self._waiting = True
            self._transport.write(request)
            return
        if not self._done.done():
            self._done.set_result(None)
        self._transport.close()


def _length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.index(b"content-length:") + len(b"content-length:")
    end = lowered.find(b"\r\n", start)
    return int(lowered[start:] if end < 0 else lowered[start:end])

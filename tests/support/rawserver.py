"""A server that follows a script on each connection, byte by byte, for failures of the transport.

    with RawServer(read_request(), send(http_answer(200, b"{}"))) as server: ...

A script is a sequence of steps. `scripts=` has one for each connection; the last one serves all
later connections, too.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from .tcp import Connection, LoopbackServer, PeerGone, RawRequest
from .waiting import PATIENCE

Step = Callable[[Connection], RawRequest | None]


class RawServer:
    """`requests` holds what was read, `connections` how many were accepted."""

    def __init__(self, *steps: Step, scripts: Iterable[Sequence[Step]] | None = None) -> None:
        self._scripts = [list(steps)] if scripts is None else [list(script) for script in scripts]
        self._changed = threading.Condition()  # guards the fields below
        self._requests: list[RawRequest] = []
        self._accepted = 0
        self._ended = 0
        self._server = LoopbackServer(self._handle, name="raw-server")
        self.port = self._server.port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.close()

    @property
    def requests(self) -> list[RawRequest]:
        with self._changed:
            return list(self._requests)

    @property
    def connections(self) -> int:
        with self._changed:
            return self._accepted

    def wait_for_requests(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Wait until `count` requests were read."""
        self._wait(lambda: len(self._requests) >= count, f"{count} requests", timeout)

    def wait_for_ends(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Wait until `count` connections were closed, by either side."""
        self._wait(lambda: self._ended >= count, f"{count} closed connections", timeout)

    def _wait(self, predicate: Callable[[], bool], what: str, timeout: float) -> None:
        with self._changed:
            assert self._changed.wait_for(predicate, timeout), f"not {what} within {timeout:g} s"

    def _handle(self, connection: Connection) -> None:
        with self._changed:
            script = self._scripts[min(self._accepted, len(self._scripts) - 1)]
            self._accepted += 1
            self._changed.notify_all()
        try:
            for step in script:
                request = step(connection)
                if request is not None:
                    with self._changed:
                        self._requests.append(request)
                        self._changed.notify_all()
        except PeerGone:
            pass
        finally:
            # Closed before it is counted: a test that waits for the end expects the peer to see it.
            connection.close()
            with self._changed:
                self._ended += 1
                self._changed.notify_all()


# Steps. At the end of a script the connection is closed with FIN.


def read_request() -> Step:
    """Read one whole request, and record it."""
    return lambda connection: connection.read_request()


def send(data: bytes) -> Step:
    return lambda connection: connection.send(data)


def reset() -> Step:
    """Reset the connection: the peer gets ECONNRESET."""
    return lambda connection: connection.reset()


def hang() -> Step:
    """Send nothing until the peer closes or the server is closed."""
    return lambda connection: connection.wait(threading.Event())


def drip(data: bytes, interval: float = 0.05) -> Step:
    """Send one byte every `interval` seconds: each read is in time, the whole answer is not."""

    def step(connection: Connection) -> None:
        for byte in data:
            connection.send(bytes([byte]))
            if connection.stopping.wait(interval):
                return

    return step


def endless(chunk: bytes = b" " * 65536) -> Step:
    """Send for as long as the peer reads."""

    def step(connection: Connection) -> None:
        while not connection.stopping.is_set():
            connection.send(chunk)

    return step


# What scripts send, and addresses that do not answer


def http_answer(
    status: int = 200,
    body: bytes = b"{}",
    *,
    headers: Sequence[tuple[str, str]] = (),
    version: str = "1.1",
    content_type: str = "application/json",
    length: int | None = -1,
) -> bytes:
    """The bytes of an answer. `length` overrides the Content-Length; `None` leaves it out."""
    lines = [f"HTTP/{version} {status} Because", f"Content-Type: {content_type}"]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length < 0 else length}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@contextmanager
def unconnectable() -> Iterator[str]:
    """The URL of a listener whose queue is full: on Linux, a connect gets no answer at all."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"


@contextmanager
def refused() -> Iterator[str]:
    """The URL of a port on which nobody listens, and which no other process gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"

"""A server on a free loopback port with a thread for each connection, for the test doubles.

Owns the listener, the threads and their end. What happens on a connection is for its handler.
"""

from __future__ import annotations

import select
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

T = TypeVar("T")

_ALMOST_FOREVER = 300.0  # a blocked read ends with the test's own timeout at the latest


class PeerGone(Exception):
    """The other side closed or reset the connection."""


@dataclass(frozen=True)
class RawRequest:
    """One HTTP request as it came over the wire: its head is split into lines, but not checked."""

    raw: bytes
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case of letters."""
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None


class Connection:
    """An accepted connection. Every method raises `PeerGone` when the peer has closed it."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.socket = sock
        self.stopping = stopping
        self._buffer = b""

    def read_request(self) -> RawRequest:
        """Read one request: its head, and as much body as its Content-Length says."""
        head = self._read_until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, *_ = first.split(" ") + ["", ""]
        pairs = [line.partition(":") for line in lines if line]
        headers = tuple((key.strip(), value.strip()) for key, _, value in pairs)
        length = next((int(value) for key, value in headers if key.lower() == "content-length"), 0)
        body = self._read_exactly(length)
        return RawRequest(head + body, method, target, headers, body)

    def peek_target(self) -> str:
        """The target of the request that is on its way, without reading it from the socket."""
        while True:
            seen = self._guard(lambda: self.socket.recv(65536, socket.MSG_PEEK))
            if not seen:
                raise PeerGone
            first = seen.split(b"\r\n", 1)[0].split(b" ")
            if len(first) >= 3:
                return first[1].decode("latin-1")
            time.sleep(0.001)  # MSG_PEEK does not block while there is half a line

    def send(self, data: bytes) -> None:
        self._guard(lambda: self.socket.sendall(data))

    def is_gone(self) -> bool:
        """Whether the peer has closed its side, as far as can be seen without reading."""
        poll = select.poll()
        try:
            poll.register(self.socket, select.POLLIN)
            # Not with MSG_DONTWAIT: on a socket with a timeout, Python first waits for data.
            return bool(poll.poll(0)) and self.socket.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def wait(self, event: threading.Event) -> None:
        """Wait for `event`, or the end of the server; `PeerGone` when the peer closes before."""
        while not event.wait(0.02) and not self.stopping.is_set():
            if self.is_gone():
                raise PeerGone

    def reset(self) -> None:
        """Close with RST instead of FIN: the peer gets ECONNRESET."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        # After the shutdown the peer sees the end at once, even if a forked child has a copy.
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._receive()
        end = self._buffer.index(mark) + len(mark)
        data, self._buffer = self._buffer[:end], self._buffer[end:]
        return data

    def _read_exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._receive()
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        return data

    def _receive(self) -> None:
        data = self._guard(lambda: self.socket.recv(65536))
        if not data:
            raise PeerGone
        self._buffer += data

    @staticmethod
    def _guard(call: Callable[[], T]) -> T:
        try:
            return call()
        except OSError as error:
            raise PeerGone from error


class LoopbackServer:
    """Listens on a free port of 127.0.0.1, from `start()` to `close()`.

    Calls `handle` for each connection, in a thread of its own.
    """

    def __init__(self, handle: Callable[[Connection], None], *, name: str) -> None:
        self._handle = handle
        self._name = name
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # guards the two collections and the listener
        self._connections: set[Connection] = set()
        self._threads: set[threading.Thread] = set()
        self._listener = _bound(0)
        self.port: int = self._listener.getsockname()[1]
        self._wake_read, self._wake_write = socket.socketpair()
        self._acceptor: threading.Thread | None = None

    def start(self) -> Self:
        self._listener.listen(512)
        self._listener.setblocking(False)
        self._acceptor = threading.Thread(
            target=self._accept, name=f"{self._name}-accept", daemon=True
        )
        self._acceptor.start()
        return self

    def close(self) -> None:
        """End every connection and thread. Safe to call twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._stop_accepting()
        self._listener.close()
        self._wake_read.close()
        self._wake_write.close()
        with self._lock:
            connections, threads = list(self._connections), list(self._threads)
        for connection in connections:
            # Only shut down here: the thread that reads from it closes it.
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive(), f"{thread.name} did not end"

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse new connections (ECONNREFUSED) within the block. Open ones stay open."""
        self._stop_accepting()
        self._listener.close()
        # Bound but not listening: connections are refused, and no other process gets the port.
        self._listener = _bound(self.port)
        try:
            yield
        finally:
            if not self._stopping.is_set():
                self.start()

    def _stop_accepting(self) -> None:
        if self._acceptor is None:
            return
        self._wake_write.send(b"x")
        self._acceptor.join(20)
        self._wake_read.recv(1)
        self._acceptor = None

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wake_read in ready:
                    return
                try:
                    sock, _ = self._listener.accept()
                except OSError:  # the peer was gone before it was accepted
                    continue
                self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(_ALMOST_FOREVER)
        connection = Connection(sock, self._stopping)
        thread = threading.Thread(
            target=self._run, args=(connection,), name=f"{self._name}-connection", daemon=True
        )
        with self._lock:
            self._connections.add(connection)
            self._threads.add(thread)
        thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            self._handle(connection)
        except PeerGone:
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()
            with self._lock:
                self._threads.discard(threading.current_thread())


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener

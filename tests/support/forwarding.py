"""Forwards TCP connections on loopback: an address that moves, or a balancer."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Sequence

from tests.support.tcp import Connection, LoopbackServer


class Forwarder(LoopbackServer):
    """Forwards each new connection to the next of several ports that takes it.

    Attributes:
        targets: the ports. Replace it to move the address; open connections stay, until `cut()`.
    """

    def __init__(self, *targets: int, name: str = "forwarder") -> None:
        self.targets: Sequence[int] = targets
        self._turns = itertools.count()
        super().__init__(self._forward, name=name)

    def cut(self) -> None:
        """Reset all open connections, as the end of a machine does."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)

    def _forward(self, connection: Connection) -> None:
        target = self._connect()
        if target is None:
            return
        with contextlib.closing(target):
            back = threading.Thread(
                target=_pump, args=(target, connection.socket), name="forwarder-back", daemon=True
            )
            back.start()
            _pump(connection.socket, target)
            back.join(20)

    def _connect(self) -> socket.socket | None:
        targets = list(self.targets)
        first = next(self._turns)
        for number in range(len(targets)):
            port = targets[(first + number) % len(targets)]
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", port))
        return None


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Hand on what comes, and then the end."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for side, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            side.shutdown(how)

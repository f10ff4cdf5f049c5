"""Ends what PostgreSQL keeps waiting for too long: it has no bound of its own for a commit.

A commit waits for a synchronous standby for ever, and a server that was stopped, or whose machine
hangs, never answers. What its callers then hear is decided in `postgres`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg

_LOOK_EVERY = 0.25
# How many seconds a server has to react to a cancellation before its connection is shut.
_REACTION = 0.5


class Exchange:
    """What is asked of a server over one connection, within a bound.

    Attributes:
        cancelled: whether its time was over. A cancellation can also strike what is asked next.
        given_up: whether the server did not even react to that: the connection was shut.
    """

    def __init__(self, connection: psycopg.Connection[Any], seconds: float) -> None:
        self._connection = connection
        # Guarded by _lock: all that follows.
        self._lock = threading.Lock()
        self._deadline = time.monotonic() + seconds
        self._ended = False
        self.cancelled = False
        self.given_up = False

    def look(self) -> None:
        """Cancel what is asked, or shut the connection, if its time is over."""
        with self._lock:
            if self._ended or self.given_up or time.monotonic() < self._deadline:
                return
            if self.cancelled:
                self.given_up = True
                self._shut()
                return
            self.cancelled = True
            self._deadline += _REACTION
        # On a thread of its own: a hung server doesn't answer a cancellation either.
        threading.Thread(target=self._cancel, name="appid-cancel", daemon=True).start()

    def end(self) -> None:
        """It has come to its end: leave the connection alone from now on."""
        with self._lock:
            self._ended = True

    def _cancel(self) -> None:
        with contextlib.suppress(Exception):
            self._connection.cancel_safe(timeout=_REACTION)

    def _shut(self) -> None:
        # Whoever waits for an answer finds the end of the connection.
        with contextlib.suppress(Exception):
            with socket.socket(fileno=os.dup(self._connection.fileno())) as copy:
                copy.shutdown(socket.SHUT_RDWR)


class Watch:
    """Looks at what is under way, on a thread of its own. For use by many threads."""

    def __init__(self) -> None:
        self._under_way: dict[int, Exchange] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="appid-watch", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def over(self, connection: psycopg.Connection[Any], seconds: float) -> Iterator[Exchange]:
        """Bound what is asked over `connection` within the block by so many seconds."""
        exchange = Exchange(connection, seconds)
        self._under_way[id(exchange)] = exchange
        try:
            yield exchange
        finally:
            exchange.end()
            del self._under_way[id(exchange)]

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(_LOOK_EVERY):
            for exchange in list(self._under_way.values()):
                exchange.look()

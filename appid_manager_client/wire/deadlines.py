"""One deadline for a whole answer, head and body; a socket's timeout starts anew with every byte.

For the connections that `connections.py` makes, to the service or to a proxy of the environment.
The connections of a user's own session are left as they are.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

from requests.adapters import HTTPAdapter

from .sending import InOnePiece


class BoundedAdapter(HTTPAdapter):
    """Bounds every answer on its connections by twice the timeout of their sockets.

    That is one timeout to wait for the answer and one to read it. A proxy's answer to the request
    for a tunnel is bounded separately.
    """

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        # Where a mock or a recorder put its own class, or its own pool, that one is used as it is.
        kind: Any = getattr(pool, "ConnectionCls", None)
        if getattr(kind, "__module__", None) == "urllib3.connection":
            pool.ConnectionCls = type(
                "BoundedConnection", (InOnePiece, kind), {"response_class": _BoundedResponse}
            )
        return pool


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        seconds = sock.gettimeout()
        # The sockets of some mocks bring files of their own kind, which never block.
        if seconds is not None and isinstance(self.fp, io.BufferedReader):
            self.fp = io.BufferedReader(_DeadlineReader(sock, self.fp.detach(), 2 * seconds))

    def begin(self, **options: Any) -> None:
        """Read the head. `http.client` takes the end of the connection for the end of the head."""
        super().begin(**options)
        raw = getattr(self.fp, "raw", None)
        if isinstance(raw, _DeadlineReader) and raw.ended:
            raise http.client.IncompleteRead(b"")


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a deadline, on the clock that the socket's own timeouts use.

    Attributes:
        ended: whether the end of the connection was met.
    """

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, seconds: float) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = time.monotonic() + seconds
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        timeout = self._sock.gettimeout()
        if timeout is not None and left < timeout:
            self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        self.ended = self.ended or count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()

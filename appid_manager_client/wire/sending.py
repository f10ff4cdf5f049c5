"""A request leaves in one piece: its head and body in one packet, where both fit.

For the connections that `connections.py` makes. `http.client` sends the head and the body apart:
that costs a second call of the system, and wakes the service for a head without its body.
"""

from __future__ import annotations

import http.client
from typing import Any

_LARGEST = 64 * 1024
"""A larger piece is sent as it is: to copy it would cost more than it saves."""


class InOnePiece(http.client.HTTPConnection):
    """A base to be put before the class of a connection."""

    _unsent: list[bytes] | None = None

    def request(self, *args: Any, **options: Any) -> None:
        self._unsent = []
        try:
            super().request(*args, **options)
            self._send_rest()
        finally:
            self._unsent = None

    def send(self, data: Any) -> None:
        if self._unsent is not None and isinstance(data, bytes) and len(data) <= _LARGEST:
            self._unsent.append(data)
        else:
            self._send_rest()
            super().send(data)

    def _send_rest(self) -> None:
        unsent, self._unsent = self._unsent, None
        if unsent:
            super().send(b"".join(unsent))

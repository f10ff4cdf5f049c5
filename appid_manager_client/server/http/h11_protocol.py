"""uvicorn's protocol on h11, with an answer of the contract for bytes that are no HTTP request.

uvicorn itself would answer with a line of text. `protocol_class` in `run.py` chooses between this
one and the one on httptools.
"""

from __future__ import annotations

from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...text import get_logger
from . import answers
from .connection import WatchedConnection
from .limits import Watch

# Anybody can cause uvicorn's warnings about requests that it doesn't understand.
_errors_only = get_logger("uvicorn.error.appids")
_errors_only.setLevel("ERROR")


class ServiceH11Protocol(WatchedConnection, H11Protocol):
    """One connection, parsed by h11.

    h11 bounds heads by itself, and reads the body of a request that offers another protocol.
    """

    def __init__(self, watch: Watch, **options: Any) -> None:
        super().__init__(watch, **options)
        self.logger = _errors_only

    def handle_events(self) -> None:
        """Act on what was parsed."""
        before = self.scope
        super().handle_events()
        if self.scope is not before:  # its handler has not begun to run
            self.show_in(self.scope)

    def has_begun_head(self) -> bool:
        """Whether a part of a request's head came."""
        return bool(self.conn.trailing_data[0].strip(b"\r\n"))

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP request, and close the connection."""
        reply = answers.invalid_http("this is no valid HTTP request")
        for event in (
            h11.Response(status_code=reply.status, headers=reply.headers, reason=b"Bad Request"),
            h11.Data(data=reply.body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

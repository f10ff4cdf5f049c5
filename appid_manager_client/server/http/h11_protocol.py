"""uvicorn's protocol on h11, with an answer of the contract for bytes that are no HTTP request.

uvicorn itself would answer with a line of text. `protocol_class` in `run.py` chooses between this
one and the one on httptools.
"""

from __future__ import annotations

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import answers


class ServiceH11Protocol(H11Protocol):
    """One connection, parsed by h11.

    h11 bounds heads by itself, and reads the body of a request that offers another protocol.
    """

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

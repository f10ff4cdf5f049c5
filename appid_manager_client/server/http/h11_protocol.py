"""What is no HTTP at all, refused in the words of the contract; uvicorn would answer it with a line of text.

`protocol_class` picks uvicorn's protocol on the parser that is there, `fastparsing.py` has the one on httptools.
"""

from __future__ import annotations

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .answers import no_request


class SlowProtocol(H11Protocol):
    """On h11, which bounds heads itself and reads the body of a request that offers another protocol."""

    def send_400_response(self, msg: str) -> None:
        """Refuse what came, and end the connection."""
        answer = no_request("this is no valid HTTP request")
        for event in (
            h11.Response(status_code=answer.status, headers=answer.headers, reason=b"Bad Request"),
            h11.Data(data=answer.body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

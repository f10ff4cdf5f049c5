"""What is no HTTP at all, refused in the words of the contract; uvicorn would answer it with a line of text.

`protocol_class` picks uvicorn's protocol on the parser that is there, `fastparsing.py` has the one on httptools.
"""

from __future__ import annotations

import asyncio
import importlib.util

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .endpoints import Reply, refusal
from .operations import Refused


def protocol_class() -> type[asyncio.Protocol]:
    """httptools where it is installed, as it is three times as fast; h11 otherwise."""
    if importlib.util.find_spec("httptools") is None:
        return SlowProtocol
    from .fastparsing import FastProtocol

    return FastProtocol


def no_request(why: str) -> Reply:
    """The answer to what can't be read; the connection ends with it."""
    answer = refusal(Refused("invalid_request", why))
    answer.headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(answer.body)),
        (b"connection", b"close"),
    ]
    return answer


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
